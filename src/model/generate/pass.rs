//! Tokens through the layers, their keys and values into the cache.

use anyhow::Result;
use candle_core::Tensor;

use super::cache::Cache;
use crate::backend::{Packing, Segment};
use crate::model::attention::AttentionRows;
use crate::model::decoder::Decoder;
use crate::model::linear::Product;
use crate::model::rope::Angles;

/// A run of tokens to feed, after what the cache holds of its sequence.
pub(super) struct Piece<'a> {
    pub ids: &'a [u32],
    /// Cache row and number of the prompt's tokens that lie elsewhere than the sequence's own.
    pub prefix: (usize, usize),
    /// Cache row of the sequence's first own token.
    pub own: usize,
    /// Own tokens that the cache holds already.
    pub fed: usize,
}

/// Tokens from which a piece has the model to itself: the kernels for many rows are faster by more than
/// what reading the weights again costs, but what they make of a row depends on the other rows.
const MANY: usize = 64;

impl Piece<'_> {
    /// Whether it goes through the model by itself, so that nothing else can change its bits.
    pub fn goes_alone(&self) -> bool {
        self.ids.len() >= MANY
    }
}

/// Feeds the pieces; returns the hidden state of the last token of each after the final norm,
/// `[pieces, hidden]`. Of two pieces of one sequence the earlier comes first. A piece that [goes alone](Piece::goes_alone)
/// is the only one.
pub(super) fn feed(decoder: &Decoder, cache: &Cache, pieces: &[Piece<'_>]) -> Result<Tensor> {
    let product = if pieces.iter().any(Piece::goes_alone) { Product::Together } else { Product::RowByRow };
    let mut packing = Packing::default();
    let (mut ids, mut cache_rows, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        packing.segments.push(Segment {
            start: ids.len(),
            len: piece.ids.len(),
            skip: piece.fed,
            own_key: piece.own,
            prefix_start: piece.prefix.0,
            prefix_len: piece.prefix.1,
        });
        ids.extend(piece.ids);
        let first = piece.own + piece.fed;
        cache_rows.extend((first..first + piece.ids.len()).map(|row| row as u32));
        last.push(ids.len() as u32 - 1);
    }
    // one group, as samples may share a prompt
    packing.groups.push(0..pieces.len());
    let angles = decoder.angles(&packing)?;
    let rows = rows(&packing, &angles, &angles);
    let last_packing = packing.with_queries(&last);
    let last_angles = decoder.angles(&last_packing)?;
    let last_rows = self::rows(&last_packing, &last_angles, &angles);
    let mut x = decoder.embedded(&ids)?;
    for (index, (layer, cache)) in decoder.layers.iter().zip(cache.layers()).enumerate() {
        let is_last = index + 1 == decoder.layers.len();
        let (rows, needed) = if is_last { (&last_rows, Some(&last[..])) } else { (&rows, None) };
        x = layer.forward_cached(&x, rows, needed, cache, &cache_rows, product)?;
    }
    Ok(decoder.final_norm.forward(&x)?.0)
}

fn rows<'a>(packing: &'a Packing, query_angles: &'a Angles, key_angles: &'a Angles) -> AttentionRows<'a> {
    AttentionRows { packing, query_angles, key_angles, query_dropout: None, key_dropout: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::row_product::row_product;
    use crate::model::artifact::Artifact;
    use crate::model::decoder::{Keep, Tokens};
    use crate::model::policy::Models;

    /// Scaled rotation; biases; q/k norms; a sliding window of 48.
    const MODELS: [&str; 4] = ["llama3", "qwen2", "qwen3", "mistral"];

    fn model(name: &str) -> Decoder {
        let base = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models");
        Models::default()
            .frozen(&Artifact { base: std::path::Path::new(base).join(name), ..Artifact::default() })
            .unwrap()
    }

    fn cache(decoder: &Decoder, rows: usize) -> Cache {
        let width = 2 * decoder.config.key_width();
        Cache::new(decoder.layers.len(), width, rows, &decoder.compute()).unwrap()
    }

    fn ids(first: usize, len: usize) -> Vec<u32> {
        (first..first + len).map(|i| ((i * 37 + i * i) % 500) as u32).collect()
    }

    fn last(hidden: &Tensor) -> Vec<f32> {
        hidden.to_vec2::<f32>().unwrap().pop().unwrap()
    }

    #[test]
    fn pieces_through_the_cache_are_the_sequence_in_one() {
        for name in MODELS {
            let decoder = model(name);
            let all = ids(0, 300);
            let packing = Packing::sequence(all.len());
            let tokens = Tokens { ids: &all, packing: &packing, needed: &[299], dropout: None };
            let want = last(&decoder.forward(&tokens, Keep::Nothing).unwrap().0);
            let cache = cache(&decoder, 300);
            let (prompt, answer) = all.split_at(260);
            let piece = |ids, fed| Piece { ids, prefix: (0, 0), own: 0, fed };
            feed(&decoder, &cache, &[piece(&prompt[..128], 0)]).unwrap();
            feed(&decoder, &cache, &[piece(&prompt[128..192], 128)]).unwrap();
            feed(&decoder, &cache, &[piece(&prompt[192..230], 192), piece(&prompt[230..], 230)]).unwrap();
            let mut got = Vec::new();
            for fed in 0..answer.len() {
                let piece = Piece { ids: &answer[fed..=fed], prefix: (0, prompt.len()), own: 260, fed };
                got = last(&feed(&decoder, &cache, &[piece]).unwrap());
            }
            let distance = got.iter().zip(&want).map(|(g, w)| (g - w).abs()).fold(0.0, f32::max);
            assert!(distance < 1e-4, "{name}: {distance}");
        }
    }

    #[test]
    fn logits_have_the_same_bits_whatever_else_is_fed() {
        for name in MODELS {
            let decoder = model(name);
            let prompts: Vec<Vec<u32>> = (0..16).map(|i| ids(i * 11, 2 + 4 * i - i / 15)).collect();
            let next: Vec<[u32; 1]> = (0..16).map(|i| [100 + i]).collect();
            let logits = |batch: usize| {
                let mut found = Vec::new();
                for batch in (0..16).collect::<Vec<_>>().chunks(batch) {
                    let cache = cache(&decoder, 1200);
                    let own = |i: usize| 70 * i;
                    let piece = |&i: &usize| Piece { ids: &prompts[i], prefix: (0, 0), own: own(i), fed: 0 };
                    let first = feed(&decoder, &cache, &batch.iter().map(piece).collect::<Vec<_>>()).unwrap();
                    let piece = |&i: &usize| {
                        let prefix = (own(i), prompts[i].len());
                        Piece { ids: &next[i], prefix, own: own(i) + prompts[i].len(), fed: 0 }
                    };
                    let second =
                        feed(&decoder, &cache, &batch.iter().map(piece).collect::<Vec<_>>()).unwrap();
                    let rows = |hidden| {
                        let logits = row_product(&hidden, &decoder.head().unwrap().value).unwrap();
                        logits.to_vec2::<f32>().unwrap()
                    };
                    found.extend(rows(first).into_iter().zip(rows(second)));
                }
                found
            };
            let alone = logits(1);
            assert!(logits(3) == alone && logits(16) == alone, "{name}");
        }
    }
}
