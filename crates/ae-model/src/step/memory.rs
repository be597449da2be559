//! Areas of a block's memory: each is a range of its elements.

use std::ops::Range;

/// Divides memory into areas, one after the other.
#[derive(Debug)]
pub(super) struct Divider {
    end: usize,
    unit: usize,
}

impl Divider {
    /// Starts with empty memory; the distances between areas will be multiples of `unit`.
    pub(super) fn new(unit: usize) -> Self {
        Divider { end: 0, unit }
    }

    /// Appends an area of `len` elements.
    pub(super) fn take(&mut self, len: usize) -> Range<usize> {
        let start = self.end;
        self.end += len.next_multiple_of(self.unit);
        start..start + len
    }

    /// Elements of all areas so far.
    pub(super) fn len(&self) -> usize {
        self.end
    }
}

/// The areas at these ranges, which must come from one [`Divider`] and lie within `memory`.
pub(super) fn areas<T, const N: usize>(memory: &mut [T], ranges: [Range<usize>; N]) -> [&mut [T]; N] {
    match memory.get_disjoint_mut(ranges) {
        Ok(areas) => areas,
        Err(error) => unreachable!("areas of one division: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_follow_each_other() {
        let mut divider = Divider::new(4);
        let [first, none, last] = [5, 0, 2].map(|len| divider.take(len));
        assert_eq!((first.clone(), none.clone(), last.clone(), divider.len()), (0..5, 8..8, 8..10, 12));
        let mut memory = [0; 12];
        let [first, none, last] = areas(&mut memory, [first, none, last]);
        first.fill(1);
        none.fill(2);
        last.fill(3);
        assert_eq!(memory, [1, 1, 1, 1, 1, 0, 0, 0, 3, 3, 0, 0]);
    }
}
