//! Panics of other people's crates, caught where input that a user wrote is handed to them.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// How many calls of [`caught`] are open on this thread.
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

/// What `inner` returns. If it panics, this is an error with the words of the panic, and nothing is printed.
/// What `inner` was changing may be half done then, so the caller must drop it.
pub fn caught<T>(inner: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if OPEN.get() == 0 {
                usual(panic);
            }
        }));
    });
    OPEN.set(OPEN.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(inner));
    OPEN.set(OPEN.get() - 1);
    result.map_err(|panic| words(panic.as_ref()))
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason is given".into())
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(
            caught(|| [0][std::hint::black_box(1)]).unwrap_err().split(':').next(),
            Some("index out of bounds")
        );
    }
}
