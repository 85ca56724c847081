//! Chunks of logits on a GPU: a product makes them, a kernel sweeps over them. The host waits for
//! nothing but the statistics of all of them, in the end.

use candle_core::{DType, Result, Tensor, bail};

use super::super::gpu::{self, Arg, Gpu, Grid};
use super::LogProbs;

/// Numbers a target that the kernel writes, in the order of `LogProbs`.
const STATISTICS: usize = 5;

/// The kernel reads and writes runs of adjacent elements, so that rows start at multiples of these.
const ALIGNED: usize = 8;

#[derive(Clone, Copy)]
pub(super) struct Sweep<'a> {
    pub gpu: Gpu,
    /// `[targets, width]`.
    pub hidden: &'a Tensor,
    /// `[vocabulary, width]`.
    pub head: &'a Tensor,
    pub targets: &'a [u32],
    /// Rows whose logits exist at once.
    pub chunk: usize,
}

/// Takes (first row, gradient `[rows, vocabulary]`) of a chunk; the gradient lasts as long as the call.
type UseChunk<'a> = dyn FnMut(usize, &Tensor) -> Result<()> + 'a;

impl Sweep<'_> {
    pub fn statistics(&self) -> Result<LogProbs> {
        self.chunks(None, None).and_then(|statistics| read(&statistics))
    }

    /// Statistics; and `then` gets ∂ log p / ∂ logits of each chunk, times the row's coefficient if there
    /// are some.
    pub fn gradients(
        &self,
        coefficients: Option<&[f64]>,
        mut then: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<LogProbs> {
        self.chunks(coefficients, Some(&mut then)).and_then(|statistics| read(&statistics))
    }

    /// `then` gets ∂ loss / ∂ logits of each chunk; nothing is read back.
    pub fn backward(
        &self,
        coefficients: &[f64],
        mut then: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        self.chunks(Some(coefficients), Some(&mut then)).map(|_| ())
    }

    /// Returns the statistics, `[targets, 5]`.
    fn chunks(&self, coefficients: Option<&[f64]>, mut then: Option<&mut UseChunk<'_>>) -> Result<Tensor> {
        let (hidden, device) = (self.hidden, self.hidden.device());
        let (rows, vocabulary) = (self.targets.len(), self.head.dim(0)?);
        let statistics = gpu::unwritten((rows, STATISTICS), DType::F32, device)?;
        if rows == 0 {
            return Ok(statistics);
        }
        let kernel = format!("log_prob_{}", gpu::suffix(hidden)?);
        let chunk = self.chunk.min(rows);
        let stride = vocabulary.next_multiple_of(ALIGNED);
        let logits = gpu::unwritten((chunk, stride), DType::F32, device)?;
        let gradient = match (&then, hidden.dtype()) {
            (None, _) => None,
            (Some(_), DType::F32) => Some(logits.clone()),
            (Some(_), dtype) => Some(gpu::unwritten((chunk, stride), dtype, device)?),
        };
        let targets = Tensor::from_slice(self.targets, rows, device)?;
        let coefficients = coefficients.map(|c| float32(c, rows)).transpose()?;
        let coefficients = coefficients.map(|c| Tensor::from_vec(c, rows, device)).transpose()?;
        for start in (0..rows).step_by(chunk) {
            let n = chunk.min(rows - start);
            let part = |tensor: &Tensor| tensor.narrow(0, start, n);
            let head = |tensor: &Tensor| tensor.narrow(0, 0, n)?.narrow(1, 0, vocabulary);
            self.gpu.matmul(&head(&logits)?, &part(hidden)?, &self.head.t()?, 1.0, false)?;
            let (statistics, targets) = (part(&statistics)?, part(&targets)?);
            let coefficients = coefficients.as_ref().map(part).transpose()?;
            let arguments = [
                gradient.as_ref().into(),
                Arg::from(&statistics),
                Arg::from(&logits),
                Arg::from(&targets),
                coefficients.as_ref().into(),
                vocabulary.into(),
                stride.into(),
            ];
            self.gpu.launch(&kernel, Grid::of(n, threads(vocabulary)), &arguments)?;
            if let (Some(then), Some(gradient)) = (&mut then, &gradient) {
                then(start, &head(gradient)?)?;
            }
        }
        Ok(statistics)
    }
}

/// Threads for a row: two vectors of four logits each and more.
fn threads(vocabulary: usize) -> u32 {
    (vocabulary / 8).next_multiple_of(32).clamp(64, 1024) as u32
}

fn float32(coefficients: &[f64], rows: usize) -> Result<Vec<f32>> {
    if coefficients.len() != rows {
        bail!("{} coefficients for {rows} targets", coefficients.len())
    }
    Ok(coefficients.iter().map(|&c| c as f32).collect())
}

/// Waits for the statistics.
fn read(statistics: &Tensor) -> Result<LogProbs> {
    let rows = statistics.to_vec2::<f32>()?;
    let column = |i: usize| rows.iter().map(|row| f64::from(row[i])).collect();
    Ok(LogProbs {
        log_prob: column(0),
        entropy: column(1),
        mean_logit: column(2),
        log_square_sum: column(3),
        is_arg_max: rows.iter().map(|row| row[4] != 0.0).collect(),
    })
}
