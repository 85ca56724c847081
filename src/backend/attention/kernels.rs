//! Attention where kernels run: which kernels, and their launches.

use candle_core::{DType, Result, Tensor, bail};

use super::super::Packing;
use super::super::gpu::{self, Arg, Gpu, Grid, row_stride, suffix};
use super::Shape;
use super::backward::Saved;
use super::tables::{key_tiles, row_tiles};
use super::uploaded::{Kind, Tables};

/// Query heads and threads of a block of the kernel for single queries.
const SINGLE_HEADS: usize = 4;
const SINGLE_THREADS: u32 = 256;

/// A set of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernels {
    /// CUDA cores, for a head_dim up to this one.
    General(usize),
}

impl Kernels {
    /// Those for tensors of this shape. Errors if there are none.
    pub fn of(shape: Shape, _tensors: &[&Tensor]) -> Result<Self> {
        Self::general(shape)
    }

    /// Errors if head_dim is over 256.
    pub fn general(shape: Shape) -> Result<Self> {
        match [64, 128, 256].into_iter().find(|&widest| shape.head_dim <= widest) {
            Some(widest) => Ok(Kernels::General(widest)),
            None => bail!("attention on a GPU has a head_dim of up to 256, not {}", shape.head_dim),
        }
    }

    /// Rows of a tile, forward.
    fn forward_tile(self) -> usize {
        self.backward_tile()
    }

    /// Rows or keys of a tile, backward.
    fn backward_tile(self) -> usize {
        match self {
            Kernels::General(256) => 16,
            Kernels::General(_) => 32,
        }
    }

    /// Bytes of shared memory, forward.
    fn forward_shared(self, head_dim: usize) -> u32 {
        general_shared(head_dim, self.forward_tile(), 1, 2)
    }

    /// Bytes of shared memory, backward.
    fn backward_shared(self, head_dim: usize) -> u32 {
        general_shared(head_dim, self.backward_tile(), 2, 2)
    }

    fn name(self, what: &str, like: &Tensor) -> Result<String> {
        let dtype = suffix(like)?;
        Ok(match self {
            Kernels::General(widest) => format!("attention_{what}_{widest}_{dtype}"),
        })
    }
}

/// Rows of a streamed tile of the general kernels.
const STREAMED: usize = 32;

/// Bytes of shared memory of the general kernels, which hold so many owned and streamed tiles.
fn general_shared(head_dim: usize, tile: usize, owned: usize, streamed: usize) -> u32 {
    let stride = head_dim.next_multiple_of(4);
    let floats = owned * tile * stride + streamed * STREAMED * (stride + 4) + tile * STREAMED;
    (4 * floats) as u32
}

/// Threads of a block of the kernels that walk tiles.
const THREADS: u32 = 128;

fn blocks(table: &Tensor, shape: Shape) -> [u32; 3] {
    [table.dims()[0] as u32, shape.kv_heads as u32, 1]
}

/// Whether all rows of `tensors` start at a multiple of 16 bytes.
fn aligned(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| {
        let piece = 16 / tensor.dtype().size_in_bytes();
        tensor.layout().start_offset() % piece == 0 && tensor.stride()[0] % piece == 0
    })
}

fn rows(packing: &Packing, kind: Kind, like: &Tensor) -> Result<Tables> {
    let segments = &packing.segments;
    packing.tables.get(kind, like.device(), segments, || match kind {
        Kind::Rows { group, tile, singles } => {
            vec![row_tiles(segments.iter().filter(|s| singles || s.len > 1), group, tile)]
        }
        Kind::Singles { group } => {
            vec![row_tiles(segments.iter().filter(|s| s.len == 1), group, group)]
        }
        Kind::Keys { rows, tile, window } => key_tiles(segments, rows, tile, window).into(),
    })
}

/// The numbers that most kernels end with.
fn numbers(shape: Shape) -> [Arg<'static>; 5] {
    // all ones: no window
    let window = shape.window.map_or(u32::MAX, |w| u32::try_from(w).unwrap_or(u32::MAX));
    [shape.heads.into(), shape.kv_heads.into(), shape.head_dim.into(), Arg::U32(window), shape.scale().into()]
}

/// As [`super::attention`] on (q, k, v).
pub(super) fn forward(
    gpu: Gpu,
    kernels: Kernels,
    (q, k, v): (&Tensor, &Tensor, &Tensor),
    packing: &Packing,
    shape: Shape,
) -> Result<(Tensor, Tensor)> {
    let (tokens, width) = q.dims2()?;
    let out = gpu::unwritten((tokens, width), q.dtype(), q.device())?;
    let lse = gpu::unwritten((tokens, shape.heads), DType::F32, q.device())?;
    let strides = [row_stride(q)?, row_stride(k)?, row_stride(v)?];
    let launch = |name: &str, grid: Grid, tiles: &Tensor, last: &[Arg<'_>]| {
        let tensors = [&out, &lse, q, k, v, tiles].map(Arg::from);
        let arguments = [&tensors[..], &strides.map(Arg::from), &numbers(shape), last].concat();
        gpu.launch(name, grid, &arguments)
    };
    let group = shape.group();
    let kind = Kind::Rows { group, tile: kernels.forward_tile(), singles: false };
    if let Some(tiles) = &rows(packing, kind, q)?[0] {
        let shared = kernels.forward_shared(shape.head_dim);
        let grid = Grid { blocks: blocks(tiles, shape), threads: THREADS, shared };
        launch(&kernels.name("forward", q)?, grid, tiles, &[])?;
    }
    if let Some(tiles) = &rows(packing, Kind::Singles { group }, q)?[0] {
        let [segments, kv_heads, _] = blocks(tiles, shape);
        let blocks = [segments, kv_heads, group.div_ceil(SINGLE_HEADS) as u32];
        let grid = Grid { blocks, threads: SINGLE_THREADS, shared: 0 };
        let whole = usize::from(aligned(&[q, k, v]));
        launch(&Kernels::general(shape)?.name("single", q)?, grid, tiles, &[whole.into()])?;
    }
    Ok((out, lse))
}

/// As [`super::attention_backward`].
pub(super) fn backward(
    gpu: Gpu,
    kernels: Kernels,
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
    let strides = [row_stride(d_out)?, row_stride(q)?, row_stride(kv)?, row_stride(kv)?];
    let launch = |name: &str, gradient: &Tensor, shared: u32, tables: &[&Tensor]| {
        let tensors = [gradient, d_out, saved.lse, &delta, q, &k, &v].map(Arg::from);
        let grid = Grid { blocks: blocks(tables[0], shape), threads: THREADS, shared };
        let tables: Vec<Arg<'_>> = tables.iter().map(|&table| table.into()).collect();
        let arguments = [&tensors[..], &tables, &strides.map(Arg::from), &numbers(shape)].concat();
        gpu.launch(name, grid, &arguments)
    };
    let tile = kernels.backward_tile();
    let kind = Kind::Rows { group: shape.group(), tile, singles: true };
    if let Some(tiles) = &rows(packing, kind, q)?[0] {
        launch(
            &kernels.name("backward_queries", q)?,
            &d_q,
            kernels.backward_shared(shape.head_dim),
            &[tiles],
        )?;
    }
    let tables = rows(packing, Kind::Keys { rows: key_rows, tile, window: shape.window }, q)?;
    if let [Some(tiles), visits] = &tables[..] {
        let visits = visits.as_ref().unwrap_or(tiles);
        launch(
            &kernels.name("backward_keys", q)?,
            &d_kv,
            kernels.backward_shared(shape.head_dim),
            &[tiles, visits],
        )?;
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
    let heads_of_a_warp = if lanes == 0 { 1 } else { 32 / lanes };
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
