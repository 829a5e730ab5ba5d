//! The order of a trace whose lines run one at a time.

/// The turns: one for each line, and one for the tree after every so many.
#[derive(Debug, Clone, Copy)]
pub struct Turns {
    every: u32,
}

impl Turns {
    /// With a walk of the tree after each `every` lines; 0 for none.
    pub fn new(every: u32) -> Turns {
        Turns { every }
    }

    /// The turn of line `index`, from 0.
    pub fn line(self, index: u32) -> u32 {
        2 * index
    }

    /// The turn of the walk after the first `lines` lines.
    pub fn walk(self, lines: u32) -> u32 {
        2 * lines - 1
    }

    /// The turn after that of line `index`.
    pub fn after_line(self, index: u32) -> u32 {
        let lines = index + 1;
        if self.every != 0 && lines.is_multiple_of(self.every) {
            self.walk(lines)
        } else {
            self.line(lines)
        }
    }

    /// After how many lines the tree is walked, in a trace of `lines`.
    pub fn walks(self, lines: u32) -> impl Iterator<Item = u32> {
        let count = lines.checked_div(self.every).unwrap_or(0);
        (1..=count).map(move |n| n * self.every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(0, 5, &[])]
    #[case(1, 3, &[1, 2, 3])]
    #[case(2, 5, &[2, 4])]
    #[case(5, 5, &[5])]
    #[case(6, 5, &[])]
    fn each_turn_is_somebody_s(#[case] every: u32, #[case] lines: u32, #[case] walks: &[u32]) {
        let turns = Turns::new(every);
        assert_eq!(turns.walks(lines).collect::<Vec<_>>(), walks);
        let mut turn = 0;
        for index in 0..lines {
            assert_eq!(turn, turns.line(index));
            turn = turns.after_line(index);
            if walks.contains(&(index + 1)) {
                assert_eq!(turn, turns.walk(index + 1));
                turn = turns.line(index + 1);
            }
        }
    }
}
