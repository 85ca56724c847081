//! Sampled answers: their frequencies, and what they may not depend on.

use std::collections::HashSet;

use anyhow::bail;
use candle_core::DType;
use runner::backend::Packing;
use runner::model::artifact::Artifact;
use runner::model::decoder::{Decoder, Keep, Tokens};
use runner::model::generate::{Choice, Generation, Request, Sampling, generate};
use runner::model::policy::Models;
use runner::random::{Purpose, Stream};

use super::trace::{golden, ids, json};

const SAMPLES: usize = 4000;

fn model(name: &str) -> Decoder {
    Models::default()
        .frozen(&Artifact { base: golden(&format!("models/{name}")), ..Artifact::default() })
        .unwrap()
}

fn prompts(model: &str) -> Vec<Vec<u32>> {
    json("traces/greedy.json")[model].as_array().unwrap().iter().map(|c| ids(&c["prompt_ids"])).collect()
}

fn stream(key: u64) -> Stream {
    Stream::new(7, Purpose::Rollout).key(key)
}

fn sampling(temperature: f64, top_k: Option<usize>, top_p: f64) -> Choice {
    Choice::Sample(Sampling { temperature, top_k, top_p })
}

/// Logits after `prompt`, by the engine that trains.
fn logits(decoder: &Decoder, prompt: &[u32]) -> Vec<f64> {
    let packing = Packing::sequence(prompt.len());
    let needed = [prompt.len() as u32 - 1];
    let tokens = Tokens { ids: prompt, packing: &packing, needed: &needed, dropout: None };
    let (hidden, _) = decoder.forward(&tokens, Keep::Nothing).unwrap();
    let logits = hidden.matmul(&decoder.head().unwrap().value.t().unwrap()).unwrap();
    logits.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f64::MIN, f64::max);
    let total: f64 = logits.iter().map(|l| (l - top).exp()).sum();
    logits.iter().map(|l| (l - top).exp() / total).collect()
}

/// The distribution that transformers' logits warpers leave.
fn warped(mut logits: Vec<f64>, temperature: f64, top_k: Option<usize>, top_p: f64) -> Vec<f64> {
    logits.iter_mut().for_each(|l| *l /= temperature);
    if let Some(k) = top_k {
        let mut sorted = logits.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        logits.iter_mut().filter(|l| **l < sorted[k - 1]).for_each(|l| *l = f64::NEG_INFINITY);
    }
    let probabilities = softmax(&logits);
    let mut ascending: Vec<usize> = (0..logits.len()).collect();
    ascending.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let mut below = 0.0;
    for &token in &ascending[..logits.len() - 1] {
        below += probabilities[token];
        if top_p < 1.0 && below <= 1.0 - top_p {
            logits[token] = f64::NEG_INFINITY;
        }
    }
    softmax(&logits)
}

/// Pearson's statistic, rare tokens taken together until 5 are expected of them, and what it exceeds
/// once in 1000 (Wilson and Hilferty's approximation).
fn chi_square(counts: &[usize], probabilities: &[f64]) -> (f64, f64) {
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let (mut bins, mut open) = (Vec::new(), (0.0, 0.0));
    for token in order {
        open = (open.0 + counts[token] as f64, open.1 + probabilities[token] * SAMPLES as f64);
        if open.1 >= 5.0 {
            bins.push(std::mem::take(&mut open));
        }
    }
    let statistic = bins.iter().map(|(seen, expected)| (seen - expected).powi(2) / expected).sum();
    let freedom = bins.len() as f64 - 1.0;
    let spread = 2.0 / (9.0 * freedom);
    (statistic, freedom * (1.0 - spread + 3.0902 * spread.sqrt()).powi(3))
}

#[test]
fn frequencies_are_those_of_the_warped_distribution() {
    let decoder = model("qwen2");
    let prompt = prompts("qwen2").swap_remove(0);
    let requests: Vec<Request> =
        (0..SAMPLES as u64).map(|i| Request { prompt: &prompt, stream: stream(i) }).collect();
    for (temperature, top_k, top_p) in
        [(1.0, None, 1.0), (0.7, None, 1.0), (1.0, Some(5), 1.0), (0.7, None, 0.7), (1.3, Some(40), 0.7)]
    {
        let choice = sampling(temperature, top_k, top_p);
        let generation =
            Generation { choice, max_new_tokens: 1, end_tokens: &[], batch: 512, first_tokens: None };
        let answers = generate(&decoder, &requests, &generation, &mut |_, _| Ok(())).unwrap();
        let mut counts = vec![0; decoder.config.vocab_size];
        answers.iter().for_each(|answer| counts[answer[0] as usize] += 1);
        let expected = warped(logits(&decoder, &prompt), temperature, top_k, top_p);
        if let Some(k) = top_k.filter(|_| top_p == 1.0) {
            assert_eq!(expected.iter().filter(|p| **p > 0.0).count(), k);
        }
        for (token, (&count, &p)) in counts.iter().zip(&expected).enumerate() {
            assert!(count == 0 || p > 0.0, "{choice:?}: token {token} was left out");
            assert!(count > 0 || p * (SAMPLES as f64) < 20.0, "{choice:?}: token {token} never came");
        }
        let (statistic, limit) = chi_square(&counts, &expected);
        assert!(statistic < limit, "{choice:?}: {statistic}, at most {limit}");
    }
}

/// 24 samples of the prompts, those of a prompt not next to each other, and one of nothing.
fn requests(prompts: &[Vec<u32>]) -> Vec<Request<'_>> {
    let mut requests: Vec<Request> = (0..24)
        .map(|i| Request { prompt: &prompts[i as usize % prompts.len()], stream: stream(i) })
        .collect();
    requests.push(Request { prompt: &[], stream: stream(24) });
    requests
}

#[test]
fn an_answer_does_not_depend_on_the_batch_or_on_shared_prompts() {
    for name in ["llama3", "qwen2", "qwen3", "mistral"] {
        let decoder = model(name);
        let mut prompts = prompts(name);
        // one that goes through the model by itself
        prompts.push(prompts.concat());
        let requests = requests(&prompts);
        let ends: Vec<u32> = (0..40).collect();
        let run = |requests: &[Request<'_>], batch| {
            let choice = sampling(1.0, None, 0.95);
            let generation =
                Generation { choice, max_new_tokens: 30, end_tokens: &ends, batch, first_tokens: None };
            generate(&decoder, requests, &generation, &mut |_, _| Ok(())).unwrap()
        };
        let together = run(&requests, 25);
        for batch in [1, 3, 16] {
            assert_eq!(run(&requests, batch), together, "{name}, {batch}");
        }
        for (request, answer) in requests.iter().zip(&together) {
            assert_eq!(run(std::slice::from_ref(request), 1), std::slice::from_ref(answer), "{name}");
        }
        // the test means something: lengths differ, and samples of one prompt do
        let lengths: HashSet<usize> = together.iter().map(Vec::len).collect();
        assert!(lengths.len() > 3 && together[0] != together[5], "{name}: {together:?}");
        assert!(together[24].is_empty());
        for answer in &together[..24] {
            let end = answer.iter().position(|t| ends.contains(t)).map_or(30, |i| i + 1);
            assert_eq!(answer.len(), end, "{name}");
        }
    }
}

#[test]
fn whoever_watches_hears_of_progress_and_can_stop_it() {
    let decoder = model("qwen2");
    let prompts = prompts("qwen2");
    let requests = requests(&prompts);
    let generation = Generation {
        choice: Choice::Greedy,
        max_new_tokens: 4,
        end_tokens: &[],
        batch: 10,
        first_tokens: None,
    };
    let mut heard = Vec::new();
    generate(&decoder, &requests, &generation, &mut |done, total| {
        heard.push((done, total));
        Ok(())
    })
    .unwrap();
    heard.dedup();
    assert_eq!(heard, [(1, 25), (11, 25), (21, 25), (25, 25)]);

    let mut calls = 0;
    let stopped = generate(&decoder, &requests, &generation, &mut |done, _| {
        calls += 1;
        if done == 11 { bail!("enough") } else { Ok(()) }
    });
    assert_eq!(stopped.unwrap_err().to_string(), "enough");
    assert!(calls < 10, "{calls}");
}

#[test]
fn a_batch_of_nothing_is_refused() {
    let decoder = model("qwen2");
    let generation = Generation {
        choice: Choice::Greedy,
        max_new_tokens: 1,
        end_tokens: &[],
        batch: 0,
        first_tokens: None,
    };
    let error = generate(&decoder, &[], &generation, &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "a batch of `0` samples: it must be at least 1");
}
