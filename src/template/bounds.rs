//! What rendering a template for one row may take. Templates come with models, and some are broken or
//! hostile: none of them may hang the program, take all its memory or overflow the stack.
//!
//! Steps are bounded by minijinja's fuel, which follows from the row's size. What filters and functions read and make is counted here, in
//! bytes: before an operation that makes more than it was given, and after every other. Values that hold
//! other values are kept until the rendering ends, and dropped the newest first, so that dropping one never
//! drops a long chain of others. How deep calls and values are nested is measured by how far the stack has
//! grown since the rendering began, which leaves room on a stack of 2 MiB, the default of Rust's threads.
//!
//! An operation that goes past a bound may return anything: the rendering fails at the next [`check`].

use std::cell::{Cell, RefCell};

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};
use serde_json::Value as Json;

/// How many steps of minijinja a rendering may take: the least of these that a row's [`Size`] asks for.
pub const STEPS: [u64; 4] = [500_000, 5_000_000, 50_000_000, 200_000_000];
/// The most bytes that the operations of one rendering may read and make.
const MADE: usize = 1 << 29;
/// The most bytes that one text may have, also the text that a template writes.
const LONGEST: usize = 1 << 26;
/// The bytes by which the stack may grow during a rendering.
const STACK: usize = 3 << 18;
/// What one item of a list counts as, in bytes.
pub const ITEM: usize = 32;
/// What one operation counts as, in bytes, besides what it reads.
const OPERATION: usize = 32;
/// What a comparison of two items of a list counts as.
pub const COMPARISON: usize = 8;

/// The error of a rendering that takes more steps than it may.
pub const TOO_MANY_STEPS: &str = "it takes hundreds of thousands of steps more than a row of this size needs";
const TOO_MUCH: &str = "it reads or makes more values than a row of this size needs";
const TOO_LONG: &str = "it makes a text of more than 64 MiB";
const TOO_DEEP: &str = "its values or calls are nested too deeply";

/// How large a row is: what a template may take follows from it, so that one that would take too much is
/// stopped soon where rows are small.
#[derive(Debug, Clone, Copy, Default)]
pub struct Size {
    /// Values, those within others included.
    values: u64,
    /// Bytes of texts.
    bytes: usize,
}

impl Size {
    pub fn of(json: &Json) -> Self {
        let mut size = Size { values: 1, bytes: 0 };
        match json {
            Json::String(text) => size.bytes = text.len(),
            Json::Array(items) => items.iter().for_each(|item| size.add(Size::of(item))),
            Json::Object(map) => map.values().for_each(|item| size.add(Size::of(item))),
            _ => {}
        }
        size
    }

    pub fn add(&mut self, other: Size) {
        self.values += other.values;
        self.bytes += other.bytes;
    }

    /// Which of [`STEPS`] is allowed.
    pub fn steps(self) -> usize {
        let asked = 300_000 + 5_000 * self.values;
        STEPS.iter().position(|steps| *steps >= asked).unwrap_or(STEPS.len() - 1)
    }

    /// Bytes that operations may read and make.
    fn made(self) -> usize {
        (1_usize << 25).saturating_add(self.bytes.saturating_mul(1 << 12)).min(MADE)
    }
}

struct Bounds {
    active: Cell<bool>,
    left: Cell<usize>,
    /// The lowest address that the stack may grow to.
    floor: Cell<usize>,
    hit: Cell<Option<&'static str>>,
    kept: RefCell<Vec<Kept>>,
}

/// A value that is kept until the rendering ends, and what then takes other values out of it.
type Kept = (Value, Option<fn(&Value)>);

thread_local! {
    static BOUNDS: Bounds = const {
        Bounds {
            active: Cell::new(false),
            left: Cell::new(0),
            floor: Cell::new(0),
            hit: Cell::new(None),
            kept: RefCell::new(Vec::new()),
        }
    };
}

/// Renders within the bounds. Returns what `render` returns, and the bound that it went past.
pub fn within<T>(size: Size, render: impl FnOnce() -> T) -> (T, Option<&'static str>) {
    let _end = End;
    BOUNDS.with(|bounds| {
        bounds.active.set(true);
        bounds.left.set(size.made());
        bounds.floor.set(here().saturating_sub(STACK));
        bounds.hit.set(None);
    });
    let result = render();
    (result, BOUNDS.with(|bounds| bounds.hit.get()))
}

/// Ends a rendering when it is dropped, also where a panic drops it.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        let mut kept = BOUNDS.with(|bounds| {
            bounds.active.set(false);
            bounds.hit.set(None);
            bounds.kept.take()
        });
        for (value, clear) in &kept {
            clear.iter().for_each(|clear| clear(value));
        }
        while kept.pop().is_some() {}
    }
}

/// An address of the stack at hand.
#[inline(never)]
fn here() -> usize {
    let local = 0_u8;
    std::ptr::from_ref(&local).addr()
}

fn stop(why: &'static str) {
    BOUNDS.with(|bounds| bounds.hit.set(bounds.hit.get().or(Some(why))));
}

/// Counts bytes that an operation reads or makes. Returns whether the rendering may go on.
pub fn spend(bytes: usize) -> bool {
    BOUNDS.with(|bounds| {
        if !bounds.active.get() {
            return true;
        }
        match bounds.left.get().checked_sub(bytes) {
            Some(left) => bounds.left.set(left),
            None => {
                bounds.left.set(0);
                stop(TOO_MUCH);
            }
        }
        bounds.hit.get().is_none()
    })
}

/// As [`spend`], for a value that is visited in another: returns whether there is room on the stack, too.
pub fn descend() -> bool {
    if here() < BOUNDS.with(|bounds| if bounds.active.get() { bounds.floor.get() } else { 0 }) {
        stop(TOO_DEEP);
    }
    spend(ITEM)
}

/// Whether a text of so many bytes may be made; counts it if so.
pub fn make_text(bytes: usize) -> Result<(), Error> {
    if bytes > LONGEST && BOUNDS.with(|bounds| bounds.active.get()) {
        stop(TOO_LONG);
    }
    spend(bytes);
    check()
}

/// Whether the text that the template writes may have so many bytes.
pub fn write(bytes: usize) -> Result<(), Error> {
    if bytes > LONGEST {
        stop(TOO_LONG);
    }
    check()
}

/// Whether a list of so many items may be made; counts it if so.
pub fn make_items(items: usize) -> Result<(), Error> {
    spend(items.saturating_mul(ITEM));
    check()
}

/// Errors if the rendering went past a bound.
pub fn check() -> Result<(), Error> {
    match BOUNDS.with(|bounds| bounds.hit.get()) {
        Some(why) => Err(Error::new(ErrorKind::InvalidOperation, why)),
        None => Ok(()),
    }
}

/// Begins an operation on values: counts the texts among them.
pub fn begin<'a>(values: impl IntoIterator<Item = &'a Value>) -> Result<(), Error> {
    let texts: usize = values.into_iter().filter_map(|value| value.as_str()).map(str::len).sum();
    descend();
    spend(OPERATION + texts / 2);
    check()
}

/// Ends an operation: counts what it made, and keeps it if it may hold other values.
pub fn made(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => make_text(value.as_str().map_or(0, str::len))?,
        ValueKind::Seq | ValueKind::Map => {
            make_items(value.len().unwrap_or(0))?;
            keep(&value);
        }
        ValueKind::Plain | ValueKind::Iterable => keep(&value),
        _ => {}
    }
    check()?;
    Ok(value)
}

/// Keeps a value until the rendering ends.
pub fn keep(value: &Value) {
    keep_and_clear(value, None);
}

/// The same for a value that others can be put into, so that it may hold itself: `clear` takes them out.
pub fn keep_and_clear(value: &Value, clear: Option<fn(&Value)>) {
    spend(OPERATION);
    BOUNDS.with(|bounds| {
        if bounds.active.get() {
            bounds.kept.borrow_mut().push((value.clone(), clear));
        }
    });
}

/// Errors if a value is too large or nested too deeply for what visits all of it.
pub fn visit(value: &Value) -> Result<(), Error> {
    if descend() && matches!(value.kind(), ValueKind::Seq | ValueKind::Map) {
        for key in value.try_iter()? {
            if value.kind() == ValueKind::Map {
                visit(&value.get_item(&key)?)?;
            }
            visit(&key)?;
        }
    }
    check()
}
