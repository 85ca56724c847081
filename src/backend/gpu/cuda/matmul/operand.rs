//! How a matrix lies in memory.

/// A matrix `[rows, cols]` whose rows lie `leading` elements apart, each of adjacent elements; or, if
/// `transposed`, whose columns do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operand {
    pub rows: usize,
    pub cols: usize,
    pub leading: usize,
    pub transposed: bool,
}

impl Operand {
    /// Of a view's dims and strides. `None` if neither its rows nor its columns are adjacent elements, or if
    /// they overlap.
    pub fn of((rows, cols): (usize, usize), strides: (usize, usize)) -> Option<Self> {
        let leading = |lines: usize, length: usize, line: usize, element: usize| {
            if lines <= 1 || length == 0 {
                // strides of one line mean nothing
                return (length <= 1 || element == 1).then_some(length.max(1));
            }
            ((length <= 1 || element == 1) && line >= length).then_some(line)
        };
        let row_major = leading(rows, cols, strides.0, strides.1);
        let column_major = || leading(cols, rows, strides.1, strides.0);
        if let Some(leading) = row_major {
            return Some(Operand { rows, cols, leading, transposed: false });
        }
        column_major().map(|leading| Operand { rows, cols, leading, transposed: true })
    }

    /// The transpose, in the same place.
    pub fn t(self) -> Self {
        Operand { rows: self.cols, cols: self.rows, transposed: !self.transposed, ..self }
    }

    /// Rows and columns of what lies in memory, read columns first: a matrix whose rows are adjacent elements
    /// reads as its transpose.
    pub fn columns_first(self) -> (usize, usize) {
        if self.transposed { (self.rows, self.cols) } else { (self.cols, self.rows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_of_views() {
        let operand = |rows, cols, leading, transposed| Some(Operand { rows, cols, leading, transposed });
        for (dims, strides, want) in [
            ((3, 5), (5, 1), operand(3, 5, 5, false)),
            // some columns of a wider matrix
            ((3, 5), (9, 1), operand(3, 5, 9, false)),
            ((3, 5), (1, 3), operand(3, 5, 3, true)),
            ((3, 5), (1, 8), operand(3, 5, 8, true)),
            // one row, of a matrix or of a transpose
            ((1, 5), (77, 1), operand(1, 5, 5, false)),
            ((1, 5), (1, 77), operand(1, 5, 77, true)),
            // one column
            ((5, 1), (77, 1), operand(5, 1, 77, false)),
            ((5, 1), (1, 77), operand(5, 1, 1, false)),
            ((1, 1), (0, 0), operand(1, 1, 1, false)),
            ((0, 5), (5, 1), operand(0, 5, 5, false)),
            ((5, 0), (0, 1), operand(5, 0, 1, false)),
            // elements apart both ways; rows that overlap; one row for all
            ((3, 5), (10, 2), None),
            ((3, 5), (4, 1), None),
            ((3, 5), (0, 1), None),
        ] {
            assert_eq!(Operand::of(dims, strides), want, "{dims:?} {strides:?}");
        }
    }

    #[test]
    fn a_transpose_lies_in_the_same_place() {
        let matrix = Operand::of((3, 5), (9, 1)).unwrap();
        assert_eq!(matrix.t(), Operand::of((5, 3), (1, 9)).unwrap());
        assert_eq!(matrix.columns_first(), (5, 3));
        assert_eq!(matrix.t().columns_first(), (5, 3));
    }
}
