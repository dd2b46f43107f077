//! Pages of what the log tells, the newest first: rows are read in blocks, and those that a filter lets pass are kept.

use super::Page;
use trainmaster_domain::Position;

/// Rows that are looked at for one page, at most: a filter that lets few pass gives short pages.
const MOST_LOOKED_AT: usize = 5_000;
/// Rows that are looked at together.
const BLOCK: usize = 500;

/// A page as it fills.
#[derive(Debug)]
pub struct Pager<T> {
    limit: usize,
    items: Vec<T>,
    before: Option<Position>,
    looked_at: usize,
    is_full: bool,
    is_last: bool,
}

impl<T> Pager<T> {
    /// A page of up to `limit`, of what is before a position.
    #[must_use]
    pub const fn new(before: Option<Position>, limit: u32) -> Self {
        Self {
            limit: limit as usize,
            items: Vec::new(),
            before,
            looked_at: 0,
            is_full: false,
            is_last: false,
        }
    }

    /// Before which position, and how many at most, is to be read next; none: the page is done.
    #[must_use]
    pub fn wants(&self) -> Option<(Option<Position>, usize)> {
        let is_done = self.is_full || self.is_last || self.looked_at >= MOST_LOOKED_AT;
        (!is_done).then(|| (self.before, self.block()))
    }

    /// One more than is wanted, where every row passes.
    fn block(&self) -> usize {
        BLOCK.min(self.limit + 1).max(50)
    }

    /// Takes a block: each row with its position, none where it does not pass.
    pub fn take(&mut self, rows: Vec<(Position, Option<T>)>) {
        self.is_last = rows.len() < self.block();
        for (position, item) in rows {
            if self.items.len() == self.limit {
                self.is_full = true;
                return;
            }
            self.looked_at += 1;
            self.before = Some(position);
            self.items.extend(item);
        }
    }

    /// The page.
    #[must_use]
    pub fn page(self) -> Page<T> {
        let is_end = self.is_last && !self.is_full;
        Page {
            items: self.items,
            next: self
                .before
                .filter(|_| !is_end)
                .map(|position| position.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(from: i64, count: i64) -> Vec<(Position, Option<i64>)> {
        (0..count)
            .map(|n| {
                let sequence = from - n;
                let position = Position {
                    transaction: 1,
                    sequence,
                };
                (position, (sequence % 2 == 0).then_some(sequence))
            })
            .collect()
    }

    #[test]
    fn a_page_says_where_the_next_one_begins_and_the_last_says_nothing() {
        let mut pager = Pager::new(None, 3);
        assert_eq!(pager.wants(), Some((None, 50)));
        pager.take(rows(100, 50));
        assert_eq!(pager.wants(), None);
        let page = pager.page();
        assert_eq!(page.items, [100, 98, 96]);
        assert_eq!(page.next.as_deref(), Some("1-96"));

        let mut pager = Pager::new(None, 3);
        pager.take(rows(5, 5));
        assert_eq!(pager.wants(), None);
        assert_eq!(pager.page().next, None);
    }

    #[test]
    fn a_filter_that_lets_nothing_pass_ends_all_the_same() {
        let mut pager: Pager<i64> = Pager::new(None, 500);
        let mut at = 1_000_000;
        while let Some((_, most)) = pager.wants() {
            let most = i64::try_from(most).unwrap();
            let none = rows(at, most).into_iter().map(|(at, _)| (at, None));
            pager.take(none.collect());
            at -= most;
        }
        let page = pager.page();
        assert!(page.items.is_empty());
        assert_eq!(page.next, Some(format!("1-{}", at + 1)));
    }
}
