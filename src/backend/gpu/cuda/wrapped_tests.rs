//! Against a driver made up for the test, with calls as candle and cudarc make them.

use std::sync::atomic::AtomicU64;

use cudarc::driver::result::{self, DriverError};

use super::super::super::out_of_memory::noted;
use super::super::libraries;
use super::*;

/// Bytes that the driver has, and that its pool holds beside them.
static FREE: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicU64 = AtomicU64::new(0);
static SYNCHRONISED: AtomicU64 = AtomicU64::new(0);
static LAUNCHED: AtomicU64 = AtomicU64::new(0);
static COPIED: AtomicU64 = AtomicU64::new(0);

const TOTAL: usize = 1000;

unsafe extern "C" fn allocate(address: *mut CUdeviceptr, bytes: usize, _: CUstream) -> CUresult {
    if bytes as u64 > FREE.load(Ordering::Relaxed) {
        return CUresult::CUDA_ERROR_OUT_OF_MEMORY;
    }
    FREE.fetch_sub(bytes as u64, Ordering::Relaxed);
    // SAFETY: the caller's
    unsafe { *address = 4096 };
    CUDA_SUCCESS
}

extern "C" fn trim(_: sys::CUmemoryPool, keep: usize) -> CUresult {
    assert_eq!(keep, 0);
    // what is still in use is not given back
    assert!(SYNCHRONISED.load(Ordering::Relaxed) > 0);
    FREE.fetch_add(HELD.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    CUDA_SUCCESS
}

unsafe extern "C" fn device(to: *mut sys::CUdevice) -> CUresult {
    // SAFETY: the caller's
    unsafe { *to = 3 };
    CUDA_SUCCESS
}

extern "C" fn synchronise() -> CUresult {
    SYNCHRONISED.fetch_add(1, Ordering::Relaxed);
    CUDA_SUCCESS
}

extern "C" fn synchronise_stream(_: CUstream) -> CUresult {
    synchronise()
}

unsafe extern "C" fn pool_of(to: *mut sys::CUmemoryPool, ordinal: sys::CUdevice) -> CUresult {
    assert_eq!(ordinal, 3);
    // SAFETY: the caller's
    unsafe { *to = std::ptr::without_provenance_mut(16) };
    CUDA_SUCCESS
}

unsafe extern "C" fn attribute(
    _: sys::CUmemoryPool,
    which: sys::CUmemPool_attribute,
    to: *mut c_void,
) -> CUresult {
    use sys::CUmemPool_attribute_enum as Attribute;
    let value = match which {
        Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT => 700,
        Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT => 600,
        _ => 800,
    };
    // SAFETY: the caller's
    unsafe { *to.cast::<u64>() = value };
    CUDA_SUCCESS
}

unsafe extern "C" fn memory(free: *mut usize, total: *mut usize) -> CUresult {
    // SAFETY: the caller's
    unsafe { (*free, *total) = (FREE.load(Ordering::Relaxed) as usize, TOTAL) };
    CUDA_SUCCESS
}

#[rustfmt::skip]
extern "C" fn launch(
    _: CUfunction, x: c_uint, y: c_uint, z: c_uint, _: c_uint, _: c_uint, _: c_uint, _: c_uint, _: CUstream,
    _: *mut *mut c_void, _: *mut *mut c_void,
) -> CUresult {
    LAUNCHED.fetch_add(1, Ordering::Relaxed);
    if x * y * z == 0 { CUresult::CUDA_ERROR_INVALID_VALUE } else { CUDA_SUCCESS }
}

extern "C" fn download(_: *mut c_void, _: CUdeviceptr, _: usize, _: CUstream) -> CUresult {
    COPIED.fetch_add(1, Ordering::Relaxed);
    CUDA_SUCCESS
}

extern "C" fn upload(_: CUdeviceptr, _: *const c_void, _: usize, _: CUstream) -> CUresult {
    COPIED.fetch_add(1, Ordering::Relaxed);
    CUDA_SUCCESS
}

/// Puts the table back as it was.
struct Restore(Vec<(&'static AtomicPtr<c_void>, *mut c_void)>);

impl Drop for Restore {
    fn drop(&mut self) {
        SHARES_MEMORY.store(false, Ordering::Relaxed);
        self.0.iter().for_each(|(slot, before)| slot.store(*before, Ordering::Release));
    }
}

fn made_up_driver() -> Restore {
    let functions = [
        ("cuMemAllocAsync", allocate as *mut c_void),
        ("cuMemPoolTrimTo", trim as *mut c_void),
        ("cuCtxGetDevice", device as *mut c_void),
        ("cuCtxSynchronize", synchronise as *mut c_void),
        ("cuStreamSynchronize", synchronise_stream as *mut c_void),
        ("cuDeviceGetMemPool", pool_of as *mut c_void),
        ("cuMemPoolGetAttribute", attribute as *mut c_void),
        ("cuMemGetInfo_v2", memory as *mut c_void),
        ("cuLaunchKernel", launch as *mut c_void),
        ("cuMemcpyDtoHAsync_v2", download as *mut c_void),
        ("cuMemcpyHtoDAsync_v2", upload as *mut c_void),
    ];
    let put = functions.map(|(name, function)| {
        let slot = libraries::slot(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        (slot, slot.swap(function, Ordering::AcqRel))
    });
    Restore(put.to_vec())
}

#[test]
fn calls_come_by_what_is_put_around_the_driver() {
    if libraries::open_driver().is_ok() {
        eprintln!("skipped: there is an NVIDIA driver");
        return;
    }
    let _restore = made_up_driver();
    install(libraries::slot);
    let stream = null_mut();
    // SAFETY: the made-up driver touches nothing but what it is given
    unsafe {
        // there is room, there is some after all, and there is none
        FREE.store(100, Ordering::Relaxed);
        HELD.store(50, Ordering::Relaxed);
        assert_eq!(result::malloc_async(stream, 60), Ok(4096));
        assert_eq!(HELD.load(Ordering::Relaxed), 50);
        assert_eq!(result::malloc_async(stream, 60), Ok(4096));
        assert_eq!((FREE.load(Ordering::Relaxed), HELD.load(Ordering::Relaxed)), (30, 0));
        let short = DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        assert_eq!(result::malloc_async(stream, 500), Err(short));
        let (wanted, memory) = noted(3).unwrap();
        assert_eq!((wanted, memory.total, memory.free, memory.used), (Some(500), 1000, 30, 600));
        assert!(noted(3).is_none());

        let before = SYNCHRONISED.load(Ordering::Relaxed);
        let waited = || SYNCHRONISED.load(Ordering::Relaxed) - before;
        assert_eq!(result::memcpy_dtoh_async(&mut [0u8; 4], 4096, stream), Ok(()));
        assert_eq!(waited(), 1);
        assert_eq!(result::memcpy_htod_async(4096, &[0u8; 4], stream), Ok(()));
        assert_eq!(waited(), 1);
        wait_for_uploads();
        assert_eq!(result::memcpy_htod_async(4096, &[0u8; 4], stream), Ok(()));
        assert_eq!((waited(), COPIED.load(Ordering::Relaxed)), (2, 3));
        assert_eq!(result::memcpy_dtoh_async::<u8>(&mut [], 4096, stream), Ok(()));
        assert_eq!((waited(), COPIED.load(Ordering::Relaxed)), (2, 3));

        let grid = |x| result::launch_kernel(null_mut(), (x, 1, 1), (32, 1, 1), 0, stream, &mut []);
        assert_eq!(grid(0), Ok(()));
        assert_eq!(LAUNCHED.load(Ordering::Relaxed), 0);
        assert_eq!(grid(1), Ok(()));
        assert_eq!(LAUNCHED.load(Ordering::Relaxed), 1);
    }
}
