//! Production variants: the models that share an endpoint's traffic, each with its weight.
//!
//! The whole table is replaced when anything in it changes. A request takes the model it will ask
//! out of the table once and keeps it: a model that is swapped out answers those who have it
//! already, and goes with the last of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::HeaderValue;

use super::change::Change;
use super::codec::Refusal;
use super::endpoint::Settings;
use super::library::{Library, Unloaded, same};
use super::rollout::Progress;
use super::served::Served;
use super::shadow::Shadow;
use super::stats::Stats;
use crate::model::Model;
use crate::spec::uri::Uri;
use crate::store::Object;

/// SageMaker's own name for the only variant.
pub(super) const ONLY_VARIANT: &str = "AllTraffic";

/// Who gets which part of the traffic.
pub(super) struct Traffic {
    table: RwLock<Arc<Table>>,
    /// Counts the tables, so that a thread sees without a lock whether its own is the newest.
    version: AtomicU64,
    pub(super) shadow: Option<Arc<Shadow>>,
    /// What changes need; `None` on an endpoint whose model came from a program.
    means: Option<Means>,
    progress: Mutex<Option<Progress>>,
    pub(super) swaps: AtomicU64,
    pub(super) swap_failures: AtomicU64,
}

/// What it takes to put in another model.
pub(super) struct Means {
    pub(super) library: Library,
    pub(super) settings: Settings,
    /// Callers may put in artifacts below this place; `None`: they may change nothing.
    pub(super) admin: Option<Uri>,
    /// One change at a time; with the objects that could not be used, so that a watched one is
    /// not opened again and again.
    pub(super) changing: Mutex<HashMap<String, Object>>,
}

/// One thread's own copy of the table. To read a table that all threads share, each request would
/// have to touch a count that every other thread touches too.
#[derive(Default)]
pub(super) struct Own {
    /// Of the table; 0 for none.
    version: u64,
    table: Table,
    /// Of each variant.
    #[expect(clippy::redundant_allocation, reason = "the outer count is this thread's own")]
    served: Vec<Rc<Arc<Served>>>,
}

/// The model of one request: by its thread's own handle, or by one of everybody's.
#[derive(Clone)]
pub(super) enum Chosen {
    #[expect(clippy::redundant_allocation, reason = "the outer count is this thread's own")]
    Own(Rc<Arc<Served>>),
    Shared(Arc<Served>),
}

impl Deref for Chosen {
    type Target = Arc<Served>;

    fn deref(&self) -> &Arc<Served> {
        match self {
            Chosen::Own(served) => served,
            Chosen::Shared(served) => served,
        }
    }
}

/// All variants at one moment.
#[derive(Clone, Default)]
pub(super) struct Table {
    /// Never empty.
    pub(super) variants: Vec<Variant>,
}

/// One variant.
#[derive(Clone)]
pub(super) struct Variant {
    pub(super) served: Arc<Served>,
    pub(super) weight: f64,
    /// Where its model lies; `None` when it came from a program.
    pub(super) source: Option<Source>,
}

/// Where a variant's model lies.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// As it was when it was loaded.
    pub(super) object: Object,
    /// How often it is looked at for a newer one.
    pub(super) watch: Option<Duration>,
}

impl Variant {
    pub(super) fn name(&self) -> &str {
        self.served.names.variant.to_str().unwrap_or_default()
    }
}

impl Traffic {
    /// One model that came from a program.
    pub(super) fn only(served: Arc<Served>) -> Traffic {
        Traffic::new(vec![Variant { served, weight: 1.0, source: None }], None, None)
    }

    pub(super) fn new(
        variants: Vec<Variant>,
        shadow: Option<Arc<Shadow>>,
        means: Option<Means>,
    ) -> Traffic {
        Traffic {
            table: RwLock::new(Arc::new(Table { variants })),
            version: AtomicU64::new(1),
            shadow,
            means,
            progress: Mutex::default(),
            swaps: AtomicU64::new(0),
            swap_failures: AtomicU64::new(0),
        }
    }

    /// The table as it is now.
    pub(super) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every model in it; the shadow's is not, since it answers nobody.
    pub(super) fn loaded(&self) -> Vec<Arc<Served>> {
        self.table().variants.iter().map(|variant| Arc::clone(&variant.served)).collect()
    }

    /// The model for a request: the variant it names, or its share's; `ticket` is anywhere in
    /// 0 to 1.
    pub(super) fn pick(
        &self,
        own: &RefCell<Own>,
        target: Option<&HeaderValue>,
        ticket: f64,
    ) -> Result<Chosen, Refusal> {
        let own = &mut *own.borrow_mut();
        if own.version != self.version.load(Ordering::Acquire) {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            // Changed only while the table is locked.
            own.version = self.version.load(Ordering::Acquire);
            own.table = Table::clone(&table);
            let served = own.table.variants.iter().map(|variant| Arc::clone(&variant.served));
            own.served = served.map(Rc::new).collect();
        }
        let found = match target {
            None => own.table.share(ticket),
            Some(name) => {
                own.table.variants.iter().position(|one| one.served.names.variant == name)
            }
        };
        let served = found.and_then(|at| own.served.get(at));
        served.map(|served| Chosen::Own(Rc::clone(served))).ok_or_else(|| own.table.unknown())
    }

    /// Lets go of a thread's table if there is a newer one: what is in it may be in nobody else's.
    pub(super) fn refresh(&self, own: &RefCell<Own>) {
        let own = &mut *own.borrow_mut();
        if own.version != self.version.load(Ordering::Acquire) {
            *own = Own::default();
        }
    }

    /// Replaces the table by one that `edit` has changed.
    fn change(&self, edit: impl FnOnce(&mut Vec<Variant>)) {
        let mut guard = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&guard);
        edit(&mut table.variants);
        let old = std::mem::replace(&mut *guard, Arc::new(table));
        self.version.fetch_add(1, Ordering::Release);
        drop(guard);
        // Freeing a large model takes a while: nobody waits for the table meanwhile.
        drop(old);
    }

    /// The weight of a variant; 0 when there is none of this name.
    pub(super) fn weight(&self, name: &str) -> f64 {
        let table = self.table();
        table.variants.iter().find(|one| one.name() == name).map_or(0.0, |one| one.weight)
    }

    pub(super) fn set_weights(&self, weights: &[(&str, f64)]) {
        self.change(|variants| {
            for variant in variants {
                let given = weights.iter().find(|(name, _)| *name == variant.name());
                variant.weight = given.map_or(variant.weight, |(_, weight)| *weight);
            }
        });
        if let Some(means) = &self.means {
            means.settings.tell(&Change::Weighted);
        }
    }

    /// What was counted of a variant so far.
    pub(super) fn counted(&self, name: &str) -> Stats {
        let table = self.table();
        let found = table.variants.iter().find(|variant| variant.name() == name);
        found.map_or_else(Stats::default, |variant| variant.served.sheet.total())
    }

    /// Says how far a rollout is.
    pub(super) fn progress(&self, now: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// How far the rollout is, if there is one.
    pub(super) fn progressed(&self) -> Option<Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether `uri` may be put in by a caller.
    pub(super) fn may_put(&self, uri: Option<&Uri>) -> Result<&Means, Refusal> {
        let denied =
            |what: &str, help: &str| Err(Refusal::new(StatusCode::FORBIDDEN, what).help(help));
        let admin = self.means.as_ref().and_then(|means| Some((means, means.admin.as_ref()?)));
        let Some((means, place)) = admin else {
            let help = "write models = \"s3://…\" below [admin] of its endpoint.toml";
            return denied("this endpoint takes no changes", help);
        };
        let place = place.to_string();
        let below = |uri: &Uri| {
            let rest = uri.to_string();
            let rest = rest.strip_prefix(place.trim_end_matches('/')).map(str::to_owned);
            rest.is_some_and(|rest| rest.starts_with('/') && !rest.contains("/../"))
        };
        match uri.is_none_or(below) {
            true => Ok(means),
            false => denied(
                "the model lies outside of what this endpoint may serve",
                "choose one below admin.models",
            ),
        }
    }

    /// Loads the artifact at `from`, or looks again at the variant's own, and puts it in the place
    /// of what the variant has: whoever has that is still answered by it. False when nothing is
    /// new. Takes as long as loading, so never on a connection's thread.
    ///
    /// # Errors
    /// What is wrong with the new artifact. The variant goes on as it was.
    pub(super) fn replace(&self, name: &str, from: Option<&Uri>) -> Result<bool, Refusal> {
        let Some(means) = &self.means else {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "this endpoint takes no changes"));
        };
        let mut useless = means.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (old, source) = self.find(name).ok_or_else(|| self.table().unknown())?;
        let uri = from.unwrap_or(&source.object.uri);
        let known = useless.get(name).cloned();
        let tried = std::cell::RefCell::new(None);
        let load = || -> Result<Option<(Arc<Served>, Object)>, Unloaded> {
            let object = means.library.find(uri)?;
            let is_known = known.as_ref().is_some_and(|known| same(known, &object));
            if from.is_none() && (same(&source.object, &object) || is_known) {
                return Ok(None);
            }
            *tried.borrow_mut() = Some(object.clone());
            let model = means.library.open(&object, &uri.to_string())?;
            fits(&old.model, &model)?;
            let served =
                Served::new(model, old.names.clone(), Arc::clone(&old.sheet), &means.settings)
                    .map_err(|error| Unloaded::Broken(error.to_string(), None))?;
            Ok(Some((Arc::new(served), object)))
        };
        match load() {
            Ok(None) => Ok(false),
            Ok(Some((served, object))) => {
                useless.remove(name);
                let (digest, watch) = (served.model.digest.clone(), source.watch);
                self.put(name, served, Source { object, watch });
                let (from, to) = (old.model.digest.as_str(), digest.as_str());
                means.settings.tell(&Change::Swapped { variant: name, from, to });
                self.swaps.fetch_add(1, Ordering::Relaxed);
                tracing::info!(variant = name, %uri, model_sha256 = digest, "model swapped");
                Ok(true)
            }
            Err(why) => {
                self.swap_failures.fetch_add(1, Ordering::Relaxed);
                let refusal = why.refusal(name);
                match &why {
                    Unloaded::Store(error) => {
                        tracing::warn!(variant = name, %uri, %error, "model not swapped");
                    }
                    _ => {
                        useless.extend(tried.take().map(|object| (name.to_owned(), object)));
                        tracing::warn!(variant = name, %uri, reason = refusal.message, "model not swapped");
                    }
                }
                Err(refusal)
            }
        }
    }

    /// A variant's model and where it lies, the shadow's too.
    fn find(&self, name: &str) -> Option<(Arc<Served>, Source)> {
        let table = self.table();
        if let Some(variant) = table.variants.iter().find(|variant| variant.name() == name) {
            return Some((Arc::clone(&variant.served), variant.source.clone()?));
        }
        let shadow = self.shadow.as_ref()?;
        let served = shadow.served();
        let source = shadow.source.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (served.names.variant == name).then_some((served, source))
    }

    fn put(&self, name: &str, served: Arc<Served>, source: Source) {
        if let Some(shadow) = self.shadow.as_ref().filter(|one| one.served().names.variant == name)
        {
            *shadow.source.lock().unwrap_or_else(PoisonError::into_inner) = source;
            *shadow.served.write().unwrap_or_else(PoisonError::into_inner) = served;
            return;
        }
        self.change(|variants| {
            if let Some(variant) = variants.iter_mut().find(|variant| variant.name() == name) {
                variant.served = served;
                variant.source = Some(source);
            }
        });
    }

    /// Variants whose artifacts are watched, and how often.
    pub(super) fn watched(&self) -> Vec<(String, Duration)> {
        let table = self.table();
        let watch = |source: &Source| source.watch;
        let of_shadow = self.shadow.iter().filter_map(|shadow| {
            let source = shadow.source.lock().unwrap_or_else(PoisonError::into_inner);
            let name = shadow.served().names.variant.to_str().ok()?.to_owned();
            watch(&source).map(|every| (name, every))
        });
        let variants = table.variants.iter();
        variants
            .filter_map(|one| Some((one.name().to_owned(), watch(one.source.as_ref()?)?)))
            .chain(of_shadow)
            .collect()
    }

    /// Looks at watched artifacts whenever it is time, until `pause` says that the endpoint stops.
    pub(super) fn watch(&self, pause: &dyn Fn(Duration) -> bool) {
        const TICK: Duration = Duration::from_millis(200);
        let mut looked: HashMap<String, Instant> = HashMap::new();
        while pause(TICK) {
            for (name, every) in self.watched() {
                let last = looked.entry(name.clone()).or_insert_with(Instant::now);
                if last.elapsed() >= every {
                    *last = Instant::now();
                    // What went wrong is in the log and in the metrics.
                    let _ = self.replace(&name, None);
                }
            }
        }
    }
}

/// Whether callers of the old model can be answered by the new one.
fn fits(old: &Model, new: &Model) -> Result<(), Unloaded> {
    let (old, new) = (&old.manifest.signature, &new.manifest.signature);
    let what = match () {
        () if old.features != new.features => {
            format!("it takes {} features, and callers send {}", new.features, old.features)
        }
        () if old.cells != new.cells => "its rows are of another kind".to_owned(),
        () if old.task != new.task => {
            format!("it answers with {}, and callers expect {}", new.task.words(), old.task.words())
        }
        () => return Ok(()),
    };
    let help = "serve it as an endpoint of its own: its callers have to change with it";
    Err(Unloaded::Broken(what, Some(help.to_owned())))
}

impl Table {
    /// The variant in whose part of the weights `ticket` falls.
    fn share(&self, ticket: f64) -> Option<usize> {
        if self.variants.len() == 1 {
            return Some(0);
        }
        let total: f64 = self.variants.iter().map(|variant| variant.weight).sum();
        let mut left = ticket * total;
        let weighty = self.variants.iter().enumerate().filter(|(_, variant)| variant.weight > 0.0);
        let mut last = None;
        for (at, variant) in weighty {
            last = Some(at);
            left -= variant.weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }

    fn unknown(&self) -> Refusal {
        let names: Vec<&str> = self.variants.iter().map(Variant::name).collect();
        Refusal::new(StatusCode::BAD_REQUEST, "there is no variant of this name")
            .help(format!("known: {}", names.join(", ")))
            .runtime("ValidationError")
    }
}

/// Numbers in 0 to 1 that fall evenly from the first on: shares are kept within one request or
/// two, not only on average (the additive recurrence of the golden ratio).
#[derive(Debug, Default)]
pub(super) struct Tickets(u64);

impl Tickets {
    /// The next one.
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_fall_evenly() {
        let mut tickets = Tickets::default();
        for part in [0.1, 0.25, 0.5] {
            let hits = (0..1_000).filter(|_| tickets.next() < part).count() as f64;
            assert!((hits - 1_000.0 * part).abs() <= 3.0, "{hits} of {part}");
        }
    }
}
