//! Launching a kernel on the device's stream.

use candle_core::{Error, Result};
use cudarc::driver::result;

use super::super::launch::{Arg, Grid, Packed};
use super::device::Cuda;

impl Cuda {
    /// Runs `kernel` after all that was started before it. A grid of no blocks does nothing. Errors name the
    /// kernel; a fault inside one shows at a later call, unless `CUDA_LAUNCH_BLOCKING=1` is set.
    pub fn launch(&self, kernel: &str, grid: Grid, arguments: &[Arg<'_>]) -> Result<()> {
        let mut packed = Packed::new(arguments, |tensor| self.address(tensor))?;
        if grid.blocks.contains(&0) {
            return Ok(());
        }
        let stream = self.bind()?;
        let function = self.kernels.get(kernel, packed.sizes(), grid.shared)?;
        let mut addresses = packed.addresses();
        let [x, y, z] = grid.blocks;
        // SAFETY: the arguments are as many and as large as the kernel declares (`Kernels::get` looks);
        // what it reads and writes are the tensors among them, which live at least until the launch is in
        // the stream, and whose memory is given back on that stream
        let status = unsafe {
            let threads = (grid.threads, 1, 1);
            result::launch_kernel(function, (x, y, z), threads, grid.shared, stream, &mut addresses)
        };
        status.map_err(|error| Error::msg(format!("kernel `{kernel}` over {grid:?}: {error}")))
    }
}
