//! Rows gathered from a table and scattered back.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::checks::{expect, grid_of_rows};
use super::gpu::{self, Arg, Gpu};
use super::storage::{Shared, unwritten, update, view};

/// table `[n, width]`, indices → `[indices, width]`. Errors on an index past the table.
pub fn gather(table: &Tensor, indices: &[u32]) -> Result<Tensor> {
    let (n, width) = table.dims2()?;
    if let Some(bad) = indices.iter().find(|&&i| i as usize >= n) {
        bail!("index {bad} is past the {n} rows of the table")
    }
    if let Some(gpu) = Gpu::of(table)? {
        let out = gpu::unwritten((indices.len(), width), table.dtype(), table.device())?;
        if !indices.is_empty() {
            let from = upload(indices, table.device())?;
            launch_copy(gpu, (&out, None), (table, Some(&from)))?;
        }
        return Ok(out);
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

/// The width of a table's rows. Errors unless `rows` has one row of that width for each index, and the table has
/// them all.
fn checked_width(table: &Tensor, indices: &[u32], rows: &Tensor) -> Result<usize> {
    let (n, width) = table.dims2()?;
    if rows.dims2()? != (indices.len(), width) || indices.iter().any(|&i| i as usize >= n) {
        bail!("{} indices for rows {:?} of a table [{n}, {width}]", indices.len(), rows.shape())
    }
    Ok(width)
}

/// table[indices\[i\]] += rows\[i\], of its dtype or into float32; equal indices are summed in the order of `i`, whatever the threads.
pub fn scatter_add(table: &Tensor, indices: &[u32], rows: &Tensor) -> Result<()> {
    let width = checked_width(table, indices, rows)?;
    if indices.is_empty() {
        return Ok(());
    }
    let mut by_target: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (i, &target) in indices.iter().enumerate() {
        by_target.entry(target).or_default().push(i);
    }
    if let Some(gpu) = Gpu::of(table)? {
        return launch_add(gpu, table, &by_target, rows);
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
    let width = checked_width(table, indices, rows)?;
    if indices.is_empty() {
        return Ok(());
    }
    if let Some(gpu) = Gpu::of(table)? {
        let to = upload(indices, table.device())?;
        return launch_copy(gpu, (table, Some(&to)), (rows, None));
    }
    let rows = view(rows)?;
    update(table, |values| {
        for (row, &i) in rows.chunks_exact(width).zip(indices) {
            values[i as usize * width..][..width].copy_from_slice(row);
        }
        Ok(())
    })
}

fn upload(indices: &[u32], device: &Device) -> Result<Tensor> {
    Tensor::from_slice(indices, indices.len(), device)
}

/// Copies rows to and from where the indices, if there are any, say.
fn launch_copy(
    gpu: Gpu,
    (to, to_rows): (&Tensor, Option<&Tensor>),
    (from, from_rows): (&Tensor, Option<&Tensor>),
) -> Result<()> {
    expect(to.dtype(), &[to, from])?;
    let width = to.dim(1)?;
    let rows = to_rows.or(from_rows).map_or(to.dim(0)?, Tensor::elem_count);
    let arguments: [Arg<'_>; 6] =
        [to.into(), to_rows.into(), from.into(), from_rows.into(), rows.into(), width.into()];
    gpu.launch(&format!("copy_rows_{}", gpu::suffix(to)?), grid_of_rows(rows, width, to.dtype()), &arguments)
}

/// One block has a target and its sources, in their order.
fn launch_add(gpu: Gpu, table: &Tensor, by_target: &BTreeMap<u32, Vec<usize>>, rows: &Tensor) -> Result<()> {
    if table.dtype() != DType::F32 {
        expect(rows.dtype(), &[table])?;
    }
    expect(table.dtype(), &[table])?;
    expect(rows.dtype(), &[rows])?;
    let (mut runs, mut sources) = (Vec::new(), Vec::new());
    for (&target, of_target) in by_target {
        runs.extend([target, sources.len() as u32, of_target.len() as u32]);
        sources.extend(of_target.iter().map(|&i| i as u32));
    }
    let (runs, sources) = (upload(&runs, table.device())?, upload(&sources, table.device())?);
    let width = table.dim(1)?;
    let arguments =
        [table.into(), rows.into(), (&runs).into(), (&sources).into(), by_target.len().into(), width.into()];
    let kernel = format!("scatter_add_{}_{}", gpu::suffix(table)?, gpu::suffix(rows)?);
    gpu.launch(&kernel, grid_of_rows(by_target.len(), width, rows.dtype()), &arguments)
}

#[cfg(test)]
mod tests {
    use super::super::gpu::trial;
    use super::*;

    #[test]
    fn kernels_agree() {
        trial::each(|trial| {
            for (n, width) in [(1, 1), (9, 37), (9, 520), (9, 2056)] {
                let last = n as u32 - 1;
                let indices = [last, 0, 3.min(last), last, last, 0];
                let (table, rows) = (trial.random(n, width), trial.random(indices.len(), width));
                let want = trial.cpu(|| gather(&table.cpu, &indices)).unwrap();
                trial.within(&gather(&table.gpu, &indices).unwrap(), &want, 0.0);
                assert_eq!(gather(&table.gpu, &[]).unwrap().dims(), [0, width]);

                let sums = trial.put(&table.cpu);
                scatter_add(&table.gpu, &indices, &rows.gpu).unwrap();
                scatter_add(&sums, &indices, &rows.gpu).unwrap();
                trial.cpu(|| scatter_add(&table.cpu, &indices, &rows.cpu)).unwrap();
                trial.close(&table.gpu, &table.cpu);
                trial.within(&sums, &table.cpu, 0.0);

                let distinct = [last, 0];
                let some = |t: &Tensor| t.narrow(0, 2, distinct.len().min(n)).unwrap();
                let table = trial.random(n, width);
                let distinct = &distinct[..n.min(2)];
                write_rows(&table.gpu, distinct, &some(&rows.gpu)).unwrap();
                trial.cpu(|| write_rows(&table.cpu, distinct, &some(&rows.cpu))).unwrap();
                trial.within(&table.gpu, &table.cpu, 0.0);
            }
        });
    }
}
