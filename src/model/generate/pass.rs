//! Tokens through the layers, their keys and values into the cache.

use anyhow::Result;
use candle_core::Tensor;

use super::cache::Cache;
use crate::backend::embedding::gather;
use crate::backend::norm::rms_norm;
use crate::backend::{Packing, Segment};
use crate::model::attention::{Angles, Rows};
use crate::model::decoder::Decoder;

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

/// Feeds the pieces; returns the hidden state of the last token of each after the final norm,
/// `[pieces, hidden]`. Of two pieces of one sequence the earlier comes first.
pub(super) fn feed(decoder: &Decoder, cache: &Cache, pieces: &[Piece<'_>]) -> Result<Tensor> {
    // forward alone does not ask for more than one group
    let mut packing = Packing { segments: Vec::new(), groups: vec![0..pieces.len()] };
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
    let angles = angles(decoder, &packing)?;
    let rows = rows(&packing, &angles, &angles);
    let last_packing = packing.with_queries(&last);
    let last_angles = self::angles(decoder, &last_packing)?;
    let last_rows = self::rows(&last_packing, &last_angles, &angles);
    let mut x = gather(&decoder.embedding.value, &ids)?;
    for (index, (layer, cache)) in decoder.layers.iter().zip(cache.layers()).enumerate() {
        let is_last = index + 1 == decoder.layers.len();
        let (rows, needed) = if is_last { (&last_rows, Some(&last[..])) } else { (&rows, None) };
        x = layer.forward_cached(&x, rows, needed, cache, &cache_rows)?;
    }
    Ok(rms_norm(&x, &decoder.final_norm.value, decoder.config.rms_norm_eps)?.0)
}

fn angles(decoder: &Decoder, packing: &Packing) -> Result<Angles> {
    let (cos, sin) = decoder.config.rope.tables(&packing.positions())?;
    Ok(Angles { cos, sin })
}

fn rows<'a>(packing: &'a Packing, query_angles: &'a Angles, key_angles: &'a Angles) -> Rows<'a> {
    Rows { packing, query_angles, key_angles, query_dropout: None, key_dropout: None }
}
