//! Removing items of a list.

/// The items left when none can go any more: 1-minimal, if the answers depend
/// on the candidate alone. `items` themselves are taken to show it.
///
/// Chunks go first, half of the list, then a quarter and so on, from the back:
/// what depends on something stands behind it. With `n` items, of which `k`
/// stay, at most some `2k log2(n) + k²` candidates are asked about, and never
/// more than `n²+n`.
///
/// # Errors
/// What `shows` returns: nothing is tried after that.
pub fn minimize<T: Clone, E>(
    items: &[T],
    mut shows: impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<Vec<T>, E> {
    let mut items = items.to_vec();
    let mut size = items.len().div_ceil(2);
    while size > 0 {
        let removed = sweep(&mut items, size, &mut shows)?;
        size = match size {
            // What was needed by something that is gone now can go, too.
            1 if removed => 1,
            1 => 0,
            size => size.div_ceil(2).min(items.len().div_ceil(2)),
        };
    }
    Ok(items)
}

/// Tries to remove each chunk of `size`, from the back. Returns whether one went.
fn sweep<T: Clone, E>(
    items: &mut Vec<T>,
    size: usize,
    shows: &mut impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<bool, E> {
    let mut removed = false;
    let mut end = items.len();
    while end > 0 {
        let start = end.saturating_sub(size);
        let rest = [&items[..start], &items[end..]].concat();
        if shows(&rest)? {
            *items = rest;
            removed = true;
        }
        end = start;
    }
    Ok(removed)
}

/// The length of the shortest beginning of a list of `len` items that shows
/// it, where whatever is longer does, too; `len` itself is taken to. Asks
/// `log2(len)` times.
///
/// # Errors
/// What `shows` returns.
pub fn shortest_prefix<E>(
    len: usize,
    mut shows: impl FnMut(usize) -> Result<bool, E>,
) -> Result<usize, E> {
    let (mut without, mut with) = (0, len);
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        if shows(middle)? {
            with = middle;
        } else {
            without = middle;
        }
    }
    Ok(with)
}
