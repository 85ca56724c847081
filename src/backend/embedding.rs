//! Rows gathered from a table and scattered back.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::storage::{Shared, unwritten, update, view};

/// table `[n, width]`, indices → `[indices, width]`. Errors on an index past the table.
pub fn gather(table: &Tensor, indices: &[u32]) -> Result<Tensor> {
    let (n, width) = table.dims2()?;
    if let Some(bad) = indices.iter().find(|&&i| i as usize >= n) {
        bail!("index {bad} is past the {n} rows of the table")
    }
    let values = view(table)?;
    let out = unwritten((indices.len(), width))?;
    update(&out, |out| {
        out.par_chunks_mut(width).zip(indices).for_each(|(row, &i)| {
            row.copy_from_slice(&values[i as usize * width..][..width]);
        });
        Ok(())
    })?;
    Ok(out)
}

/// table[indices\[i\]] += rows\[i\]; equal indices are summed in the order of `i`, whatever the threads.
pub fn scatter_add(table: &Tensor, indices: &[u32], rows: &Tensor) -> Result<()> {
    let (n, width) = table.dims2()?;
    if rows.dims2()? != (indices.len(), width) || indices.iter().any(|&i| i as usize >= n) {
        bail!("{} indices for rows {:?} of a table [{n}, {width}]", indices.len(), rows.shape())
    }
    let mut by_target: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (i, &target) in indices.iter().enumerate() {
        by_target.entry(target).or_default().push(i);
    }
    let rows = view(rows)?;
    update(table, |values| {
        let shared = Shared::new(values);
        by_target.into_par_iter().for_each(|(target, sources)| {
            // SAFETY: each task has its own target row, inside the table (checked above)
            let out = unsafe { shared.slice(target as usize * width, width) };
            for i in sources {
                out.iter_mut().zip(&rows[i * width..][..width]).for_each(|(o, r)| *o += r);
            }
        });
        Ok(())
    })
}

/// table[indices\[i\]] ← rows\[i\]. Indices are distinct.
pub fn write_rows(table: &Tensor, indices: &[u32], rows: &Tensor) -> Result<()> {
    let (n, width) = table.dims2()?;
    if rows.dims2()? != (indices.len(), width) || indices.iter().any(|&i| i as usize >= n) {
        bail!("{} indices for rows {:?} of a table [{n}, {width}]", indices.len(), rows.shape())
    }
    let rows = view(rows)?;
    update(table, |values| {
        for (row, &i) in rows.chunks_exact(width).zip(indices) {
            values[i as usize * width..][..width].copy_from_slice(row);
        }
        Ok(())
    })
}
