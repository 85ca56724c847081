//! What `build.rs` left, and launches that are refused.

use super::super::super::emulation::{self, Order};
use super::super::super::{Arg, Gpu, Grid};
use super::*;

fn kernels() -> impl Iterator<Item = (&'static str, &'static [usize])> {
    MODULES.iter().flat_map(|module| module.kernels).copied()
}

#[test]
fn no_name_is_used_twice() {
    let mut names: Vec<&str> = kernels().map(|(name, _)| name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert!(count > 0 && names.len() == count);
    assert!(MODULES.iter().all(|module| !module.kernels.is_empty()));
    assert!(names.binary_search(&"add_f32").is_ok());
}

/// The C++ compiler, too, has seen how large each argument is.
#[test]
fn arguments_are_those_of_the_sources() {
    let Some(emulator) = emulation::with(Order::Forward, || emulation::current().unwrap()) else { return };
    for (kernel, sizes) in kernels() {
        let arguments: Vec<Arg<'_>> =
            sizes.iter().map(|size| if *size == 4 { Arg::U32(0) } else { Arg::Null }).collect();
        let launched = emulator.launch(kernel, Grid::of(0, 32), &arguments);
        assert!(launched.is_ok(), "{kernel} {sizes:?}: {launched:?}");
    }
}

#[test]
fn parameters_are_read_from_ptx() {
    let ptx = ".version 9.0\n.visible .entry one(\n\t.param .u64 .ptr .align 1 one_param_0,\n\t.param .f32 one_param_1\n)\n.maxntid 256, 1, 1\n{\n}\n.visible .entry none()\n{ }\n.entry two(\n\t.param .align 8 .b8 two_param_0[24],\n\t.param .u8 two_param_1\n)\n{\n}\n";
    let (one, none, two) = ("one".to_owned(), "none".to_owned(), "two".to_owned());
    assert_eq!(ptx::kernels(ptx), Ok(vec![(one, vec![8, 4]), (none, vec![]), (two, vec![24, 1])]));
    assert!(ptx::kernels(".entry one(\n\t.param .strange one_param_0\n)").is_err());
    assert!(ptx::kernels(".version 9.0").is_err());
}

/// What is in an image: whether it is machine code, and for which architecture. A header says how long all
/// parts are, and another before each part how long that is, what it is and what for.
fn parts(image: &[u8]) -> Vec<(bool, u32)> {
    let short = |at: usize| u16::from_le_bytes(image[at..at + 2].try_into().unwrap());
    let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap()) as usize;
    assert_eq!(word(0), 0xba55_ed50);
    let end = usize::from(short(6)) + long(8);
    assert_eq!(end, image.len());
    let (mut at, mut found) = (usize::from(short(6)), Vec::new());
    while at < end {
        found.push((short(at) == 2, word(at + 28)));
        at += word(at + 4) as usize + long(at + 8);
    }
    found.sort();
    found
}

#[test]
fn every_image_has_code_for_hopper_and_ptx_for_the_rest() {
    for module in MODULES {
        assert_eq!(parts(&module.image.0), [(false, 80), (true, 90)], "{}", module.source);
        assert_eq!(module.image.0.as_ptr().align_offset(16), 0, "{}", module.source);
    }
}

#[test]
fn a_launch_that_does_not_fit_the_kernel_is_refused() {
    let Some(device) = super::super::for_tests() else { return };
    let tensor = candle_core::Tensor::zeros(4, candle_core::DType::F32, &device).unwrap();
    let gpu = Gpu::of(&tensor).unwrap().unwrap();
    let grid = Grid::of(1, 32);
    let error = gpu.launch("add_f32", grid, &[(&tensor).into()]).unwrap_err().to_string();
    assert!(error.contains("takes arguments of [8, 8, 8, 8] bytes, got [8]"), "{error}");
    let error = gpu.launch("nothing", grid, &[]).unwrap_err().to_string();
    assert!(error.contains("there is no kernel `nothing`"), "{error}");
}
