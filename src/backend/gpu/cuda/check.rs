//! Whether there is a GPU that this build can use. Looks, and takes hold of nothing.

use std::path::Path;

use anyhow::{Context, Result, bail};
use cudarc::driver::result::{self, device};
use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute, CUresult};

use super::libraries::{self, forwards};
use super::wrapped;

/// What the driver's kernel module leaves: on Linux, in containers, and under Windows. Without one of
/// these no library is asked, as what calls itself the driver may be a stand-in to link against.
const DRIVER: [&str; 3] = ["/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"];

/// The first generation that computes in bf16.
const OLDEST: (i32, i32) = (8, 0);

/// Errors, with what was looked for, if GPU `ordinal` cannot be used.
pub fn check(ordinal: usize) -> Result<()> {
    if !DRIVER.iter().any(|path| Path::new(path).exists()) {
        let [proc, control, windows] = DRIVER;
        bail!(
            "there is no NVIDIA driver here, which `cuda:{ordinal}` needs (looked for `{proc}`, `{control}` and `{windows}`); run on a machine with an NVIDIA GPU, or set `device = \"cpu\"`"
        )
    }
    libraries::open_driver().with_context(|| format!("`cuda:{ordinal}` needs the NVIDIA driver"))?;
    match result::init() {
        Err(error) if error.0 == CUresult::CUDA_ERROR_NO_DEVICE => exists(ordinal, 0)?,
        outcome => outcome.context("the NVIDIA driver does not start")?,
    }
    let mut driver = 0;
    // SAFETY: writes the one number it is given
    unsafe { sys::cuDriverGetVersion(&mut driver) }.result().context("the NVIDIA driver's version")?;
    driver_is_new_enough(driver, forwards::CUDA_VERSION)?;
    exists(ordinal, device::get_count().context("the number of GPUs")?)?;
    let gpu = device::get(ordinal as i32).with_context(|| format!("`cuda:{ordinal}`"))?;
    let attribute = |which| {
        // SAFETY: the device is the one that the driver just gave
        unsafe { device::get_attribute(gpu, which) }.with_context(|| format!("`cuda:{ordinal}`: {which:?}"))
    };
    let capability = (
        attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
    );
    let name = device::get_name(gpu).with_context(|| format!("`cuda:{ordinal}`: its name"))?;
    runs_on(capability, forwards::CANDLE_ARCHITECTURE)
        .with_context(|| format!("`cuda:{ordinal}` ({name}) cannot be used"))?;
    if attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)? == 0 {
        bail!("`cuda:{ordinal}` ({name}) cannot be used: its driver has no memory pools")
    }
    if attribute(Attribute::CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES)? != 0 {
        wrapped::wait_for_uploads();
    }
    libraries::open_toolkit().with_context(|| format!("`cuda:{ordinal}` needs CUDA's libraries"))
}

fn exists(ordinal: usize, count: i32) -> Result<()> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES");
    let visible = visible.map(|value| format!(" (`CUDA_VISIBLE_DEVICES` is `{value}`)")).unwrap_or_default();
    match count {
        0 => bail!("the NVIDIA driver finds no GPU{visible}, and `cuda:{ordinal}` was asked for"),
        _ if (ordinal as i64) < i64::from(count) => Ok(()),
        1 => bail!("there is no `cuda:{ordinal}`: the machine has one GPU, `cuda:0`{visible}"),
        _ => bail!(
            "there is no `cuda:{ordinal}`: the machine has {count} GPUs, `cuda:0` to `cuda:{}`{visible}",
            count - 1
        ),
    }
}

/// A driver compiles the PTX of its own CUDA version and of those before it.
fn driver_is_new_enough(driver: i32, toolkit: i32) -> Result<()> {
    let version = |v: i32| format!("{}.{}", v / 1000, v % 1000 / 10);
    if driver < toolkit {
        bail!(
            "the NVIDIA driver is for CUDA {}, and this `runner` was built with CUDA {}; update the driver, or build with an older CUDA",
            version(driver),
            version(toolkit)
        )
    }
    Ok(())
}

/// Our kernels run on [`OLDEST`] and later; `candle`, the target of candle's, on that and later, or with a
/// letter on that alone (`a`) or on its family (`f`).
fn runs_on(capability: (i32, i32), candle: &str) -> Result<()> {
    let (major, minor) = capability;
    if capability < OLDEST {
        let (oldest, part) = OLDEST;
        bail!(
            "its compute capability is {major}.{minor}, and the kernels need {oldest}.{part} (Ampere) or later"
        )
    }
    let digits: String = candle.chars().filter(char::is_ascii_digit).collect();
    let built: i32 = digits.parse().with_context(|| format!("target `{candle}`"))?;
    let gpu = 10 * major + minor;
    let fits = match candle.chars().last() {
        Some('a') => gpu == built,
        Some('f') => gpu >= built && major == built / 10,
        _ => gpu >= built,
    };
    if !fits {
        bail!(
            "its compute capability is {major}.{minor}, and this `runner` was built for `{candle}`; build it with `CUDA_COMPUTE_CAP={gpu}`, or with `CUDA_COMPUTE_CAP=80` for every GPU since Ampere"
        )
    }
    Ok(())
}

/// GPU 0 for tests that need one. `None`, said on standard error once, where there is none.
#[cfg(test)]
pub fn for_tests() -> Option<candle_core::Device> {
    use std::io::Write as _;

    static SAY: std::sync::Once = std::sync::Once::new();
    match check(0) {
        Ok(()) => Some(super::open(0).expect("a GPU that can be used")),
        Err(error) => {
            // past what captures the output of tests that pass
            SAY.call_once(|| drop(writeln!(std::io::stderr(), "skipped: no GPU: {error:#}")));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(result: Result<()>) -> String {
        format!("{:#}", result.unwrap_err())
    }

    #[test]
    fn says_what_was_looked_for() {
        if DRIVER.iter().any(|path| Path::new(path).exists()) {
            eprintln!("skipped: there is an NVIDIA driver");
            return;
        }
        assert_eq!(
            refusal(check(1)),
            "there is no NVIDIA driver here, which `cuda:1` needs (looked for `/proc/driver/nvidia/version`, `/dev/nvidiactl` and `/dev/dxg`); run on a machine with an NVIDIA GPU, or set `device = \"cpu\"`"
        );
    }

    #[test]
    fn says_how_many_gpus_there_are() {
        assert!(exists(1, 2).is_ok());
        assert!(
            refusal(exists(2, 2))
                .starts_with("there is no `cuda:2`: the machine has 2 GPUs, `cuda:0` to `cuda:1`")
        );
        assert!(refusal(exists(5, 1)).starts_with("there is no `cuda:5`: the machine has one GPU, `cuda:0`"));
        assert!(refusal(exists(0, 0)).starts_with("the NVIDIA driver finds no GPU"));
    }

    #[test]
    fn refuses_older_gpus_and_other_targets() {
        for (capability, target, fits) in [
            ((8, 0), "sm_80", true),
            ((9, 0), "sm_80", true),
            ((12, 0), "sm_80", true),
            ((9, 0), "sm_90a", true),
            ((10, 0), "sm_90a", false),
            ((8, 6), "sm_89", false),
            ((12, 1), "sm_121f", true),
            ((13, 0), "sm_121f", false),
        ] {
            assert_eq!(runs_on(capability, target).is_ok(), fits, "{capability:?} {target}");
        }
        assert_eq!(
            refusal(runs_on((7, 5), "sm_80")),
            "its compute capability is 7.5, and the kernels need 8.0 (Ampere) or later"
        );
        assert_eq!(
            refusal(runs_on((8, 6), "sm_90a")),
            "its compute capability is 8.6, and this `runner` was built for `sm_90a`; build it with `CUDA_COMPUTE_CAP=86`, or with `CUDA_COMPUTE_CAP=80` for every GPU since Ampere"
        );
    }

    #[test]
    fn refuses_drivers_older_than_the_toolkit() {
        assert!(driver_is_new_enough(13_000, 13_000).is_ok() && driver_is_new_enough(13_010, 13_000).is_ok());
        assert_eq!(
            refusal(driver_is_new_enough(12_080, 13_000)),
            "the NVIDIA driver is for CUDA 12.8, and this `runner` was built with CUDA 13.0; update the driver, or build with an older CUDA"
        );
    }
}
