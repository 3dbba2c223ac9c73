//! Who counts what: a sheet of counters for each variant or model, and nothing lost when one goes.
//!
//! A model that is unloaded gives its sheet back; what stood on it is added to one sheet of all
//! that went, so that the endpoint's totals never fall. Only the first
//! [`METRIC_MODELS_MAX`](crate::spec::limit::METRIC_MODELS_MAX) models keep a sheet of their own
//! for good and are shown by name: a page of metrics has a bounded length.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::stats::Stats;
use crate::spec::limit::METRIC_MODELS_MAX;

/// Counters of one variant or model, one set for each thread.
#[derive(Debug)]
pub(super) struct Sheet {
    threads: Arc<[Stats]>,
    /// Where it goes when its model goes; `None` for one that stays.
    back: Option<(Arc<Book>, u64)>,
}

impl Sheet {
    /// The set that only `thread` writes.
    pub(super) fn of(&self, thread: usize) -> &Stats {
        &self.threads[thread]
    }

    /// All threads together.
    pub(super) fn total(&self) -> Stats {
        let total = Stats::with_quantiles();
        self.threads.iter().for_each(|stats| total.take_in(stats));
        total
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        let Some((book, number)) = self.back.take() else { return };
        let mut pages = book.lock();
        pages.loose.remove(&number);
        self.threads.iter().for_each(|stats| pages.gone.take_in(stats));
    }
}

/// Adds sets of counters.
fn sum<'a>(sets: impl Iterator<Item = &'a Stats>) -> Stats {
    let total = Stats::default();
    sets.for_each(|stats| total.take_in(stats));
    total
}

/// What a sheet is about, as SageMaker's metrics name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label {
    pub(super) variant: Arc<str>,
    /// On an endpoint of many models.
    pub(super) model: Option<Arc<str>>,
}

/// All sheets of an endpoint.
#[derive(Debug)]
pub(super) struct Book {
    threads: usize,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    named: BTreeMap<Label, Arc<Sheet>>,
    /// Of models beyond the named ones, while they are loaded.
    loose: BTreeMap<u64, Arc<[Stats]>>,
    next: u64,
    /// What those counted that are no longer there.
    gone: Stats,
}

/// What is shown of all sheets.
pub(super) struct Shown {
    /// Everything.
    pub(super) total: Stats,
    /// Each by itself.
    pub(super) named: Vec<(Label, Stats)>,
    /// The models without a name of their own; `None` when there never was one.
    pub(super) others: Option<Stats>,
}

impl Book {
    /// For so many threads.
    pub(super) fn new(threads: usize) -> Arc<Book> {
        Arc::new(Book { threads, pages: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        // Only additions happen while it is held.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A variant is told more closely than one of many models.
    fn blank(&self, is_variant: bool) -> Arc<[Stats]> {
        let one = if is_variant { Stats::with_quantiles } else { Stats::default };
        (0..self.threads).map(|_| one()).collect()
    }

    /// The sheet of a label, the same one each time as long as there is room for names.
    pub(super) fn sheet(self: &Arc<Book>, label: &Label) -> Arc<Sheet> {
        let mut pages = self.lock();
        if let Some(sheet) = pages.named.get(label) {
            return Arc::clone(sheet);
        }
        let threads = self.blank(label.model.is_none());
        if pages.named.len() < METRIC_MODELS_MAX {
            let sheet = Arc::new(Sheet { threads, back: None });
            pages.named.insert(label.clone(), Arc::clone(&sheet));
            return sheet;
        }
        let number = pages.next;
        pages.next += 1;
        pages.loose.insert(number, Arc::clone(&threads));
        Arc::new(Sheet { threads, back: Some((Arc::clone(self), number)) })
    }

    /// A sheet without a label, for what concerns no model.
    pub(super) fn unlabelled(self: &Arc<Book>) -> Arc<Sheet> {
        let mut pages = self.lock();
        let number = pages.next;
        pages.next += 1;
        let threads = self.blank(false);
        pages.loose.insert(number, Arc::clone(&threads));
        Arc::new(Sheet { threads, back: Some((Arc::clone(self), number)) })
    }

    /// Adds everything up.
    pub(super) fn shown(&self) -> Shown {
        let pages = self.lock();
        let total = Stats::default();
        let named: Vec<(Label, Stats)> =
            pages.named.iter().map(|(label, sheet)| (label.clone(), sheet.total())).collect();
        named.iter().for_each(|(_, stats)| total.take_in(stats));
        let others = sum(pages.loose.values().flat_map(|threads| threads.iter()));
        others.take_in(&pages.gone);
        total.take_in(&others);
        let has_others = pages.named.len() == METRIC_MODELS_MAX;
        Shown { total, named, others: has_others.then_some(others) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(at: usize) -> Label {
        Label { variant: "AllTraffic".into(), model: Some(format!("model-{at}").into()) }
    }

    #[test]
    fn a_model_that_goes_leaves_its_counts_behind() {
        let book = Book::new(2);
        for at in 0..METRIC_MODELS_MAX + 50 {
            let sheet = book.sheet(&label(at));
            sheet.of(0).rows.add(1);
            sheet.of(1).rows.add(2);
            drop(sheet);
            assert_eq!(book.shown().total.rows.get(), 3 * (at as u64 + 1));
        }
        let shown = book.shown();
        assert_eq!(shown.named.len(), METRIC_MODELS_MAX);
        assert_eq!(shown.others.unwrap().rows.get(), 150);
    }

    #[test]
    fn a_label_has_one_sheet() {
        let book = Book::new(1);
        book.sheet(&label(1)).of(0).rows.add(1);
        book.sheet(&label(1)).of(0).rows.add(1);
        assert_eq!(book.shown().named[0].1.rows.get(), 2);
        assert_eq!(book.sheet(&label(1)).total().rows.get(), 2);
    }
}
