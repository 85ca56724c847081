//! The tables of a packing where kernels run, made once for all layers of a pass.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, DeviceLocation, Result, Tensor};

use super::super::Segment;

/// Tables of one kind, `[entries, 8]` u32 each; `None` for one without entries.
pub(super) type Tables = Arc<Vec<Option<Tensor>>>;

/// What a table is made for besides the segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableKind {
    /// Rows of segments of several queries, or of all of them.
    Rows { group: usize, tile: usize, singles: bool },
    /// Segments of one query.
    Singles { group: usize },
    /// Keys, and who sees them.
    Keys { rows: usize, tile: usize, window: Option<usize> },
}

struct CachedTables {
    kind: TableKind,
    device: DeviceLocation,
    /// What they were made of: the segments of a packing can change.
    segments: Vec<Segment>,
    tables: Tables,
}

/// No part of a packing's value: equal to any other, empty in a clone.
#[derive(Default)]
pub struct TableCache(Mutex<Vec<CachedTables>>);

impl TableCache {
    /// The tables of `kind` on `device`, from `build` when first asked for. Errors if the device has no
    /// memory for them.
    pub(super) fn get(
        &self,
        kind: TableKind,
        device: &Device,
        segments: &[Segment],
        build: impl FnOnce() -> Vec<Vec<[u32; 8]>>,
    ) -> Result<Tables> {
        // a panic elsewhere leaves whole entries
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let location = device.location();
        entries.retain(|entry| entry.segments == segments);
        if let Some(entry) = entries.iter().find(|entry| entry.kind == kind && entry.device == location) {
            return Ok(entry.tables.clone());
        }
        let upload = |table: Vec<[u32; 8]>| match table.len() {
            0 => Ok(None),
            n => Tensor::from_slice(table.as_flattened(), (n, 8), device).map(Some),
        };
        let tables = Arc::new(build().into_iter().map(upload).collect::<Result<Vec<_>>>()?);
        let segments = segments.to_vec();
        entries.push(CachedTables { kind, device: location, segments, tables: tables.clone() });
        Ok(tables)
    }
}

impl Clone for TableCache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for TableCache {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for TableCache {}

impl std::fmt::Debug for TableCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TableCache")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Packing;

    #[test]
    fn tables_are_made_once_for_a_packing_and_again_when_it_changes() {
        let made = std::cell::Cell::new(0);
        let kind = TableKind::Singles { group: 2 };
        let get = |packing: &Packing, kind| {
            let build = || {
                made.set(made.get() + 1);
                vec![vec![[made.get(); 8]], vec![]]
            };
            let tables = packing.tables.get(kind, &Device::Cpu, &packing.segments, build).unwrap();
            assert!(tables[1].is_none());
            tables[0].as_ref().unwrap().to_vec2::<u32>().unwrap()[0][7]
        };
        let mut packing = Packing::sequence(3);
        assert_eq!([get(&packing, kind), get(&packing, kind)], [1, 1]);
        assert_eq!(get(&packing, TableKind::Singles { group: 3 }), 2);
        let copy = packing.clone();
        assert_eq!([get(&copy, kind), get(&packing, kind)], [3, 1]);
        packing.segments[0].len = 4;
        assert_eq!([get(&packing, kind), get(&packing, kind)], [4, 4]);
        packing.segments[0].len = 3;
        assert_eq!(packing, copy);
    }
}
