//! How much of a device's memory is used.

use candle_core::{Error, Result};

use super::super::memory::Memory;
use super::device::Cuda;

impl Cuda {
    pub fn memory(&self) -> Result<Memory> {
        self.bind()?;
        self.pool.memory().map_err(|error| Error::msg(format!("the device's memory: {error}")))
    }

    /// Lets the peak begin anew, at what is used now.
    pub fn reset_peak(&self) -> Result<()> {
        self.bind()?;
        let reset = self.pool.reset_peak();
        reset.map_err(|error| Error::msg(format!("the device's peak of memory: {error}")))
    }
}
