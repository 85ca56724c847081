//! Attention where kernels run: the launches of a pass.

use candle_core::{DType, Result, Tensor};

use super::super::Packing;
use super::super::gpu::{self, Arg, Gpu, Grid, row_stride, suffix};
use super::Shape;
use super::kernels::{KernelSet, aligned};
use super::saved::Saved;
use super::tables::{key_tiles, row_tiles};
use super::uploaded::{TableKind, Tables};

/// Query heads and threads of a block of the kernel for single queries.
const SINGLE_HEADS: usize = 4;
const SINGLE_THREADS: u32 = 256;

/// Threads of a block of the kernels that walk tiles.
const THREADS: u32 = 128;

fn tables(packing: &Packing, kind: TableKind, like: &Tensor) -> Result<Tables> {
    let segments = &packing.segments;
    packing.tables.get(kind, like.device(), segments, || match kind {
        TableKind::Rows { group, tile, singles } => {
            vec![row_tiles(segments.iter().filter(|s| singles || s.len > 1), group, tile)]
        }
        TableKind::Singles { group } => vec![row_tiles(segments.iter().filter(|s| s.len == 1), group, group)],
        TableKind::Keys { rows, tile, window } => key_tiles(segments, rows, tile, window).into(),
    })
}

/// A block a key head and entry, along x, where there is room for 2³¹; those of an entry start together, as
/// the first entries have most to do.
fn blocks(table: &Tensor, shape: Shape) -> u32 {
    (shape.kv_heads * table.dims()[0]) as u32
}

/// The numbers that kernels take after the strides.
fn numbers(kernels: KernelSet, shape: Shape) -> Vec<Arg<'static>> {
    // all ones: no window
    let window = shape.window.map_or(u32::MAX, |w| u32::try_from(w).unwrap_or(u32::MAX));
    let mut numbers = vec![shape.heads.into(), shape.kv_heads.into()];
    if let KernelSet::General(_) = kernels {
        numbers.push(shape.head_dim.into());
    }
    numbers.extend([Arg::U32(window), shape.scale().into()]);
    numbers
}

/// As [`super::attention`] on (q, k, v).
pub(super) fn forward(
    gpu: Gpu,
    kernels: KernelSet,
    (q, k, v): (&Tensor, &Tensor, &Tensor),
    packing: &Packing,
    shape: Shape,
) -> Result<(Tensor, Tensor)> {
    let out = gpu::unwritten(q.dims(), q.dtype(), q.device())?;
    let lse = gpu::unwritten((q.dims()[0], shape.heads), DType::F32, q.device())?;
    let strides = [row_stride(q)?, row_stride(k)?, row_stride(v)?].map(Arg::from);
    let launch = |kernels: KernelSet, what: &str, grid: Grid, tiles: &Tensor, last: &[Arg<'_>]| {
        let tensors = [&out, &lse, q, k, v, tiles].map(Arg::from);
        let arguments = [&tensors[..], &strides, &numbers(kernels, shape), last].concat();
        gpu.launch(&kernels.name(what, q)?, grid, &arguments)
    };
    let group = shape.group();
    let kind = TableKind::Rows { group, tile: kernels.forward_tile(), singles: false };
    if let Some(tiles) = &tables(packing, kind, q)?[0] {
        let shared = kernels.forward_shared(shape.head_dim);
        launch(
            kernels,
            "forward",
            Grid { blocks: [blocks(tiles, shape), 1, 1], threads: THREADS, shared },
            tiles,
            &[],
        )?;
    }
    if let Some(tiles) = &tables(packing, TableKind::Singles { group }, q)?[0] {
        let blocks = [blocks(tiles, shape), group.div_ceil(SINGLE_HEADS) as u32, 1];
        let grid = Grid { blocks, threads: SINGLE_THREADS, shared: 0 };
        let whole = usize::from(aligned(&[q, k, v]));
        launch(KernelSet::general(shape)?, "single", grid, tiles, &[whole.into()])?;
    }
    Ok((out, lse))
}

/// As [`super::attention_backward`].
pub(super) fn backward(
    gpu: Gpu,
    kernels: KernelSet,
    saved: &Saved<'_>,
    d_out: &Tensor,
    packing: &Packing,
    shape: Shape,
) -> Result<(Tensor, Tensor)> {
    let (q, kv) = (saved.q, saved.kv);
    let (key_rows, kv_width) = kv.dims2()?;
    let (k, v) = (kv.narrow(1, 0, kv_width / 2)?, kv.narrow(1, kv_width / 2, kv_width / 2)?);
    let d_q = gpu::unwritten(q.dims(), q.dtype(), q.device())?;
    let d_kv = gpu::unwritten(kv.dims(), q.dtype(), q.device())?;
    let delta = delta(gpu, saved.out, d_out, shape)?;
    let strides = [row_stride(d_out)?, row_stride(q)?, row_stride(kv)?, row_stride(kv)?].map(Arg::from);
    let launch = |what: &str, gradient: &Tensor, tables: &[&Tensor]| {
        let tensors = [gradient, d_out, saved.lse, &delta, q, &k, &v].map(Arg::from);
        let shared = kernels.backward_shared(shape.head_dim);
        let grid = Grid { blocks: [blocks(tables[0], shape), 1, 1], threads: THREADS, shared };
        let tables: Vec<Arg<'_>> = tables.iter().map(|&table| table.into()).collect();
        let arguments = [&tensors[..], &tables, &strides, &numbers(kernels, shape)].concat();
        gpu.launch(&kernels.name(what, q)?, grid, &arguments)
    };
    let tile = kernels.backward_tile();
    let kind = TableKind::Rows { group: shape.group(), tile, singles: true };
    if let Some(tiles) = &tables(packing, kind, q)?[0] {
        launch("backward_queries", &d_q, &[tiles])?;
    }
    let kind = TableKind::Keys { rows: key_rows, tile, window: shape.window };
    if let [Some(tiles), visits] = &tables(packing, kind, q)?[..] {
        // without visits the tiles say so, and the second table is not read
        launch("backward_keys", &d_kv, &[tiles, visits.as_ref().unwrap_or(tiles)])?;
    }
    Ok((d_q, d_kv))
}

/// `[rows, heads]`: the sum over each head of d_out ∘ out.
fn delta(gpu: Gpu, out: &Tensor, d_out: &Tensor, shape: Shape) -> Result<Tensor> {
    let rows = out.dims()[0];
    let delta = gpu::unwritten((rows, shape.heads), DType::F32, out.device())?;
    let bytes = shape.head_dim * out.dtype().size_in_bytes();
    // 16 bytes a lane
    let fits = bytes.is_multiple_of(16) && (bytes / 16).is_power_of_two() && bytes / 16 <= 32;
    let lanes = if fits && aligned(&[out, d_out]) { bytes / 16 } else { 0 };
    let heads_of_a_warp = 32usize.checked_div(lanes).unwrap_or(1);
    let warps = (rows * shape.heads).div_ceil(heads_of_a_warp);
    let grid = Grid::of(warps.div_ceil(8).clamp(1, 8192), 256);
    let arguments = [
        (&delta).into(),
        d_out.into(),
        out.into(),
        row_stride(d_out)?.into(),
        row_stride(out)?.into(),
        rows.into(),
        shape.heads.into(),
        shape.head_dim.into(),
        lanes.into(),
    ];
    gpu.launch(&format!("attention_delta_{}", suffix(out)?), grid, &arguments)?;
    Ok(delta)
}
