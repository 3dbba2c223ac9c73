//! Query groups: rows of one query stand together, and each query is met once.

use std::collections::HashSet;

use super::label::Refused;
use super::words::word;

/// The query ids of some rows, row after row, as they stand in the file.
#[derive(Debug, Default)]
pub(crate) struct GroupRows {
    runs: Vec<Run>,
}

/// Rows of one query that stand together.
#[derive(Debug)]
struct Run {
    id: Box<str>,
    rows: usize,
    /// Where it begins: lines of the block before it.
    line: u64,
}

impl GroupRows {
    /// Whether the channel has groups.
    pub(crate) fn is_used(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Adds the row on `line`.
    pub(crate) fn push(&mut self, text: &[u8], line: u64) -> Result<(), Refused> {
        let Some(id) = word(text)? else {
            return Err((
                "the group is missing".into(),
                "every row needs the id of its query; remove the row or fill it in".into(),
            ));
        };
        match self.runs.last_mut() {
            Some(run) if *run.id == *id => run.rows += 1,
            _ => self.runs.push(Run { id: id.into(), rows: 1, line }),
        }
        Ok(())
    }
}

/// The groups of a channel while it is read: numbers from 0 in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    seen: HashSet<Box<str>>,
    last: Option<Box<str>>,
    rows: Vec<u32>,
    /// Bytes of the ids that are held.
    pub(crate) bytes: usize,
}

impl Groups {
    /// Appends the rows that follow.
    ///
    /// # Errors
    /// The line, counted in the block, where a query comes back, and what is wrong.
    pub(crate) fn append(&mut self, next: GroupRows) -> Result<(), (u64, Refused)> {
        for Run { id, rows, line } in next.runs {
            if self.last.as_ref() != Some(&id) {
                if !self.seen.insert(id.clone()) {
                    let what = format!(
                        "the group {} comes back after rows of another one",
                        super::error::shown(id.as_bytes())
                    );
                    let help =
                        "rows of one group must stand together: sort the file by that column";
                    return Err((line, (what, help.into())));
                }
                self.bytes += 2 * (id.len() + size_of::<Box<str>>());
                self.last = Some(id);
            }
            let number = (self.seen.len() - 1) as u32;
            self.rows.resize(self.rows.len() + rows, number);
        }
        Ok(())
    }

    /// Hands over the rows so far and goes on.
    pub(crate) fn take_rows(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(ids: &[&str], line: u64) -> GroupRows {
        let mut rows = GroupRows::default();
        for (at, id) in ids.iter().enumerate() {
            rows.push(id.as_bytes(), line + at as u64).unwrap();
        }
        rows
    }

    #[test]
    fn groups_are_numbered_across_blocks() {
        let ids = ["q7", "q7", "q1", "q1", "9", "9.0"];
        for cut in 0..=ids.len() {
            let mut groups = Groups::default();
            groups.append(rows(&ids[..cut], 0)).unwrap();
            groups.append(rows(&ids[cut..], 0)).unwrap();
            assert_eq!(groups.take_rows(), [0, 0, 1, 1, 2, 2], "cut at {cut}");
        }
    }

    #[test]
    fn a_group_that_comes_back_is_refused_with_its_line() {
        let mut groups = Groups::default();
        groups.append(rows(&["a", "b"], 0)).unwrap();
        let (line, (what, _)) = groups.append(rows(&["b", "c", "a"], 5)).unwrap_err();
        assert_eq!((line, what.contains("\"a\"")), (7, true));
        assert!(GroupRows::default().push(b" ", 0).is_err());
    }
}
