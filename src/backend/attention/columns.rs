//! Columns of a tensor whose rows may lie apart.

use candle_core::{Result, Tensor, bail};

use super::super::storage::{View, strided};
use super::tile::HeadRows;

/// The columns of a tensor `[rows, width]`, rows any distance apart.
pub(super) struct HeadColumns<'a> {
    values: View<'a>,
    stride: usize,
    offset: usize,
}

impl<'a> HeadColumns<'a> {
    pub fn of(tensor: &'a Tensor) -> Result<Self> {
        let (values, layout) = strided(tensor)?;
        let stride = layout.stride();
        if layout.shape().rank() != 2 || stride[1] != 1 {
            bail!("attention reads rows of adjacent columns, got strides {stride:?}")
        }
        Ok(HeadColumns { values, stride: stride[0], offset: layout.start_offset() })
    }

    pub fn head(&self, head: usize, head_dim: usize) -> HeadRows<'_> {
        self.head_at(head * head_dim, head_dim)
    }

    /// The head whose first column is `column`.
    pub fn head_at(&self, column: usize, head_dim: usize) -> HeadRows<'_> {
        HeadRows { values: &self.values, stride: self.stride, column: self.offset + column, head_dim }
    }
}
