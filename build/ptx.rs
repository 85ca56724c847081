//! What PTX says of its kernels.

/// The kernels of a PTX file: each name, and the bytes of each of its parameters.
pub fn kernels(ptx: &str) -> Result<Vec<(String, Vec<usize>)>, String> {
    let entries = ptx.split(".entry ").skip(1);
    let kernel = |text: &str| {
        let (name, rest) = text.split_once('(')?;
        let (parameters, _) = rest.split_once(')')?;
        let parameters = parameters.split(',').filter(|text| !text.trim().is_empty());
        Some((name.trim().to_owned(), parameters.map(bytes).collect::<Option<_>>()?))
    };
    let found = entries.map(|text| {
        kernel(text).ok_or_else(|| {
            let start: String = text.chars().take(200).collect();
            format!("a kernel's parameters cannot be read: {start}")
        })
    });
    let found = found.collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err("there is no kernel".to_owned()) } else { Ok(found) }
}

/// Bytes of a parameter such as `.param .u64 .ptr .align 1 name` or `.param .align 8 .b8 name[24]`.
fn bytes(parameter: &str) -> Option<usize> {
    let mut words = parameter.split_whitespace();
    let bits = words.clone().find_map(|word| {
        let bits = word.strip_prefix('.')?.strip_prefix(['u', 's', 'b', 'f'])?;
        bits.parse::<usize>().ok()
    })?;
    let count = match words.next_back()?.split_once('[') {
        Some((_, count)) => count.strip_suffix(']')?.parse().ok()?,
        None => 1,
    };
    Some(bits / 8 * count)
}
