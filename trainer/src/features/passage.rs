//! A packed sequence as the extraction reads it: where its text is, and the windows around its tokens.

/// Which tokens of a sequence are text, and in which unbroken runs.
#[derive(Clone, Debug)]
pub struct Passage {
    /// Its number in the dataset.
    pub number: u32,
    /// Positions of text, ascending. Beginnings, separators and padding are not text.
    pub text: Vec<u32>,
    /// Of each position of `text`, where its run begins and ends (exclusive).
    runs: Vec<(u32, u32)>,
}

/// Tokens around a token, all of one run of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The token in the middle.
    pub position: u32,
    /// Tokens of the window before it.
    pub before: u16,
    /// Tokens of the window after it.
    pub after: u16,
}

impl Window {
    /// Its first position.
    #[must_use]
    pub fn start(&self) -> u32 {
        self.position - u32::from(self.before)
    }

    /// One after its last position.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.position + u32::from(self.after) + 1
    }
}

impl Passage {
    /// Of a sequence's number and, for each of its positions, whether it is text.
    #[must_use]
    pub fn new(number: u32, is_text: &[bool]) -> Self {
        let (mut text, mut runs) = (Vec::new(), Vec::new());
        let mut start = 0;
        for run in is_text.chunk_by(|left, right| left == right) {
            let end = start + run.len() as u32;
            if run[0] {
                text.extend(start..end);
                runs.resize(text.len(), (start, end));
            }
            start = end;
        }
        Self { number, text, runs }
    }

    /// The window of at most `context` tokens on either side of the text's `nth` token. It ends where the run of text does.
    ///
    /// # Panics
    /// When the text has no such token.
    #[must_use]
    pub fn window(&self, nth: usize, context: u16) -> Window {
        let position = self.text[nth];
        let (start, end) = self.runs[nth];
        let cut = |tokens: u32| tokens.min(u32::from(context)) as u16;
        Window {
            position,
            before: cut(position - start),
            after: cut(end - 1 - position),
        }
    }

    /// Which token of the text stands at a position.
    #[must_use]
    pub fn nth(&self, position: u32) -> Option<usize> {
        self.text.binary_search(&position).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_where_its_text_does() {
        let passage = Passage::new(7, &[false, true, true, false, true, true, true, false]);
        assert_eq!(passage.text, [1, 2, 4, 5, 6]);
        let window = passage.window(3, 4);
        assert_eq!((window.start(), window.position, window.end()), (4, 5, 7));
        let window = passage.window(1, 4);
        assert_eq!((window.start(), window.position, window.end()), (1, 2, 3));
        let window = passage.window(3, 0);
        assert_eq!((window.start(), window.end()), (5, 6));
        assert_eq!(passage.nth(5), Some(3));
        assert_eq!(passage.nth(3), None);
    }
}
