//! Arrays that become long without being copied over and over.
//!
//! A full array moves to where there is room for twice as much, and nobody is served meanwhile:
//! with a million messages that wait one turn took 13 ms. So an array that is long gets so much
//! room at once that every allocator has it of pages of its own. Pages cost nothing before they are
//! used, and where that room is full, they are mapped elsewhere and not copied.

/// Bytes of an array from which on it is long.
const LONG: usize = 512 * 1024;
/// The room that it gets then: glibc's allocator asks for pages of their own from 32 MiB on at the
/// latest, others do for much less.
const ROOM: usize = 33 * 1024 * 1024;

/// Appends to an array.
pub(super) fn push<T>(array: &mut Vec<T>, entry: T) {
    let is_full = array.len() == array.capacity();
    if is_full && (LONG..ROOM).contains(&(array.len() * size_of::<T>())) {
        // Where there is no such room, it grows as any other.
        let _ = array.try_reserve_exact(ROOM / size_of::<T>() - array.len());
    }
    array.push(entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_array_stays_where_it_is() {
        let mut array = Vec::new();
        let mut moves = Vec::new();
        while array.len() < 30 * 1024 {
            let place = array.as_ptr();
            push(&mut array, [0_u8; 1024]);
            if array.as_ptr() != place {
                moves.push(array.len());
            }
        }
        assert_eq!(moves.pop(), Some(513), "{moves:?}");
    }
}
