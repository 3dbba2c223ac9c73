//! Many models: each is loaded when somebody first asks for it, stays while there is room, and goes
//! when it is the one not asked for longest.
//!
//! A request for a loaded model takes it out of one table. Every other request waits for a loading
//! thread, or is told at once what was found before: a model that is not there or is broken is
//! remembered, and looked at again in the background at most once in [`LOOK_AGAIN`].
//!
//! A model has the name of its object below the endpoint's place, and a short one: without
//! `.tar.gz`, `/model.tar.gz` or `/output/model.tar.gz` (where a training job puts it).

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::sync::watch;

use super::background::Background;
use super::book::{Book, Label};
use super::change::Change;
use super::codec::Refusal;
use super::endpoint::Settings;
use super::error::Error;
use super::library::{Library, Unloaded, same};
use super::served::{Names, Served};
use super::stats::{Count, Histogram};
use super::traffic::ONLY_VARIANT;
use crate::model::Model;
use crate::spec::limit::{BROKEN_MODELS_MAX, MODEL_NAME_CHARS_MAX};
use crate::spec::unit::shown_bytes;
use crate::spec::uri::Uri;
use crate::store::Object;

/// How often what could not be loaded is looked at again, while somebody asks for it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// What a model takes in memory for each byte of its files: resident memory grew by 1.2 bytes for
/// 1,000 small networks, by 1.45 for 150 models of 500 trees.
const MEMORY_PER_BYTE: f64 = 1.5;
/// Beside that: its queue, its sheet of counters, its names.
const OVERHEAD_BYTES: u64 = 16 << 10;

/// Many models below one place, and what they may take.
#[derive(Clone)]
pub struct Many {
    /// Where the artifacts are.
    pub place: Uri,
    /// How they are opened.
    pub library: Library,
    /// What all loaded models may take.
    pub memory_bytes_max: u64,
    /// How many may be loaded.
    pub hot_max: usize,
    /// Names of those that are loaded at the start and never go.
    pub pinned: Vec<String>,
    /// How often loaded models are looked at for newer ones; `None` is never.
    pub watch: Option<Duration>,
}

/// The models of an endpoint.
pub(super) struct Hot {
    many: Many,
    settings: Settings,
    book: Arc<Book>,
    background: Arc<Background>,
    /// Every loaded model under each of its names.
    ready: RwLock<HashMap<Arc<str>, Arc<Ready>>>,
    rest: Mutex<Rest>,
    /// Counts requests, so that "least recently used" has an order.
    clock: AtomicU64,
}

/// A loaded model.
struct Ready {
    served: Arc<Served>,
    /// As it was when it was loaded.
    object: Object,
    /// Its name below the place.
    key: String,
    bytes: u64,
    pinned: bool,
    used: AtomicU64,
}

/// What cannot be used, and why.
type Useless = (Unloaded, Option<Object>);

type Loaded = Result<Arc<Served>, Refusal>;

/// What is not loaded.
#[derive(Default)]
struct Rest {
    /// Being loaded; whoever comes meanwhile waits for the same.
    loading: HashMap<Arc<str>, watch::Receiver<Option<Loaded>>>,
    broken: HashMap<Arc<str>, Broken>,
    counts: Counts,
}

struct Broken {
    refusal: Refusal,
    /// What could not be used; `None` when there was nothing.
    object: Option<Object>,
    looked: Instant,
}

/// What the metrics tell of loading.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) loads: Count,
    pub(super) failures: Count,
    pub(super) unloads: Count,
    /// Requests that had to wait for a model.
    pub(super) misses: Count,
    pub(super) load_time: Histogram,
    pub(super) wait_time: Histogram,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Ready,
    Unloaded,
    Broken(String),
}

impl Hot {
    pub(super) fn new(
        many: Many,
        settings: Settings,
        book: Arc<Book>,
        background: Arc<Background>,
    ) -> Arc<Hot> {
        Arc::new(Hot {
            many,
            settings,
            book,
            background,
            ready: RwLock::default(),
            rest: Mutex::default(),
            clock: AtomicU64::new(1),
        })
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self, name: &str) -> Option<Arc<Ready>> {
        self.ready.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The model of this name if it is loaded.
    pub(super) fn loaded(&self, name: &str) -> Option<Arc<Served>> {
        let table = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        let ready = table.get(name)?;
        ready.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(&ready.served))
    }

    /// What policies call the model of this name; one that was loaded under a name of the caller's own
    /// is what it lies under.
    pub(super) fn policy_name(&self, name: &str) -> String {
        self.ready(name).map_or_else(|| canonical(name), |ready| canonical(&ready.key))
    }

    /// The model of this name, loaded if it is not.
    pub(super) async fn find(self: &Arc<Hot>, name: &str) -> Loaded {
        if let Some(served) = self.loaded(name) {
            return Ok(served);
        }
        check(name)?;
        let mut answer = self.load(name, None)?;
        let start = Instant::now();
        let wait = answer.wait_for(Option::is_some);
        let result = match tokio::time::timeout(self.settings.invocation_timeout, wait).await {
            Ok(Ok(result)) => result.clone().unwrap_or_else(|| Err(lost(name))),
            // The loading thread was stopped.
            Ok(Err(_)) => Err(lost(name)),
            Err(_) => Err(Refusal {
                retry_after_s: Some(1),
                ..Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("model {name:?} is still being loaded"),
                )
                .runtime("ModelNotReadyException")
            }),
        };
        let rest = self.rest();
        rest.counts.misses.add(1);
        rest.counts.wait_time.see_time(start.elapsed());
        result
    }

    /// Begins to load a model, or joins who does already. `key` is where it lies, if that does
    /// not follow from the name.
    fn load(
        self: &Arc<Hot>,
        name: &str,
        key: Option<String>,
    ) -> Result<watch::Receiver<Option<Loaded>>, Refusal> {
        let mut rest = self.rest();
        // It may have become ready since the table was asked.
        if let Some(ready) = self.ready(name) {
            return Ok(watch::channel(Some(Ok(Arc::clone(&ready.served)))).1);
        }
        let told = rest.broken.get(name).map(|broken| (broken.refusal.clone(), broken.looked));
        let under_way = rest.loading.get(name).cloned();
        match (&told, under_way) {
            (None, Some(answer)) => return Ok(answer),
            // Who asks for a broken model is answered at once; looking is for the next one.
            (Some((refusal, _)), Some(_)) => return Err(refusal.clone()),
            (Some((refusal, looked)), None) if looked.elapsed() < LOOK_AGAIN => {
                return Err(refusal.clone());
            }
            (_, None) => {}
        }
        let name: Arc<str> = name.into();
        let (sender, answer) = watch::channel(None);
        let (hot, own) = (Arc::clone(self), Arc::clone(&name));
        let taken = self.background.push(move || hot.work(&own, key.as_deref(), &sender));
        if !taken {
            return Err(Refusal {
                retry_after_s: Some(1),
                ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many models are being loaded")
            });
        }
        rest.loading.insert(name, answer.clone());
        told.map_or(Ok(answer), |(refusal, _)| Err(refusal))
    }

    /// On a loading thread.
    fn work(&self, name: &Arc<str>, key: Option<&str>, sender: &watch::Sender<Option<Loaded>>) {
        let start = Instant::now();
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.open(name, key)))
                .unwrap_or_else(|_| {
                    Err(Box::new((Unloaded::Broken("opening it panicked".into(), None), None)))
                });
        let mut rest = self.rest();
        rest.loading.remove(name);
        let answer = match result {
            Ok(None) => match rest.broken.get_mut(name) {
                // Looked at again, and nothing had changed.
                Some(broken) => {
                    broken.looked = Instant::now();
                    Err(broken.refusal.clone())
                }
                None => Err(lost(name)),
            },
            Ok(Some(ready)) => {
                rest.broken.remove(name);
                rest.counts.loads.add(1);
                rest.counts.load_time.see_time(start.elapsed());
                let (served, gone) = self.publish(name, ready);
                rest.counts.unloads.add(gone.len() as u64);
                drop(rest);
                for gone in &gone {
                    let model = &*gone.served.names.model;
                    self.settings.tell(&Change::Unloaded { model });
                }
                // Freeing a large model takes a while: nobody waits for a lock meanwhile.
                drop(gone);
                let (model, sha256) = (&*served.names.model, &*served.model.digest);
                self.settings.tell(&Change::Loaded { model, sha256 });
                tracing::debug!(
                    model = &**name,
                    elapsed_ms = start.elapsed().as_millis() as u64,
                    "model loaded"
                );
                let _ = sender.send(Some(Ok(served)));
                return;
            }
            Err(useless) => {
                let (why, object) = *useless;
                rest.counts.failures.add(1);
                let refusal = why.refusal(name);
                match &why {
                    Unloaded::Store(error) => {
                        tracing::warn!(model = &**name, %error, "model could not be fetched");
                    }
                    _ => tracing::warn!(
                        model = &**name,
                        reason = refusal.message,
                        "model not loaded"
                    ),
                }
                if rest.broken.len() >= BROKEN_MODELS_MAX {
                    let cold = rest.broken.iter().min_by_key(|(_, broken)| broken.looked);
                    let cold = cold.map(|(name, _)| Arc::clone(name));
                    cold.map(|name| rest.broken.remove(&name));
                }
                let (refusal, looked) = (refusal.clone(), Instant::now());
                rest.broken
                    .insert(Arc::clone(name), Broken { refusal: refusal.clone(), object, looked });
                Err(refusal)
            }
        };
        drop(rest);
        let _ = sender.send(Some(answer));
    }

    /// Fetches and opens; `Ok(None)` when it is what could not be used before.
    fn open(&self, name: &str, key: Option<&str>) -> Result<Option<Ready>, Box<Useless>> {
        let keys = keys_of(key.unwrap_or(name));
        let mut found = Err(Unloaded::Missing);
        for key in keys {
            found = self.many.library.find(&self.many.place.join(&key)).map(|object| (key, object));
            if !matches!(found, Err(Unloaded::Missing)) {
                break;
            }
        }
        let (key, object) = found.map_err(|why| Box::new((why, None)))?;
        let known = |broken: &Broken| broken.object.as_ref().is_some_and(|old| same(old, &object));
        if self.rest().broken.get(name).is_some_and(known) {
            return Ok(None);
        }
        self.read(key, object.clone()).map(Some).map_err(|why| {
            // When the store failed, nothing is known of the object: it is fetched again next time.
            let known = (!matches!(why, Unloaded::Store(_))).then_some(object);
            Box::new((why, known))
        })
    }

    fn read(&self, key: String, object: Object) -> Result<Ready, Unloaded> {
        let model = self.many.library.open(&object, &key)?;
        let short: Arc<str> = short(&key).into();
        let bytes = weight(&model);
        let pinned = |name: &String| **name == *short || *name == key;
        let pinned = self.many.pinned.iter().any(pinned);
        let room = self.many.memory_bytes_max.saturating_sub(self.pinned_bytes());
        if bytes > room {
            let (bytes, room) = (shown_bytes(bytes), shown_bytes(room));
            return Err(Unloaded::TooLarge(format!("it takes {bytes}, and there may be {room}")));
        }
        let label = Label { variant: ONLY_VARIANT.into(), model: Some(Arc::clone(&short)) };
        let names = Names { model: short, variant: HeaderValue::from_static(ONLY_VARIANT) };
        let served = Served::new(model, names, self.book.sheet(&label), &self.settings)
            .map_err(|error| Unloaded::Broken(error.to_string(), None))?;
        let served = Arc::new(served);
        let used = AtomicU64::new(self.clock.fetch_add(1, Ordering::Relaxed));
        Ok(Ready { served, object, key, bytes, pinned, used })
    }

    /// Puts a model into the table under the name it was asked by, its short name and its key,
    /// and takes out what no longer fits. Gives the model in the table and those that went.
    fn publish(&self, name: &Arc<str>, ready: Ready) -> (Arc<Served>, Vec<Arc<Ready>>) {
        let mut table = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        // Two names of one object may have been loaded at once: one copy stays.
        let ready = match table.get(ready.key.as_str()) {
            Some(other) if same(&other.object, &ready.object) => Arc::clone(other),
            // Stored anew between two loads: whatever its names, it is one model.
            Some(other) => {
                let (old, new) = (Arc::clone(other), Arc::new(ready));
                replace(&mut table, &old, &new);
                new
            }
            None => Arc::new(ready),
        };
        table.insert(ready.key.as_str().into(), Arc::clone(&ready));
        table.insert(Arc::clone(name), Arc::clone(&ready));
        let short = &ready.served.names.model;
        // A short name that two objects share belongs to the one that is found by it.
        if **name == *ready.key && keys_of(short).first() == Some(&ready.key) {
            table.insert(Arc::clone(short), Arc::clone(&ready));
        }
        let mut gone = Vec::new();
        while let Some(victim) = self.victim(&table, &ready) {
            table.retain(|_, other| !Arc::ptr_eq(other, &victim));
            gone.push(victim);
        }
        (Arc::clone(&ready.served), gone)
    }

    /// The model that has to go, if one has to.
    fn victim(
        &self,
        table: &HashMap<Arc<str>, Arc<Ready>>,
        newest: &Arc<Ready>,
    ) -> Option<Arc<Ready>> {
        let each = || distinct(table);
        let bytes: u64 = each().map(|ready| ready.bytes).sum();
        if bytes <= self.many.memory_bytes_max && each().count() <= self.many.hot_max {
            return None;
        }
        let may_go = |ready: &&Arc<Ready>| !ready.pinned && !Arc::ptr_eq(ready, newest);
        each().filter(may_go).min_by_key(|ready| ready.used.load(Ordering::Relaxed)).cloned()
    }

    fn pinned_bytes(&self) -> u64 {
        let table = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        distinct(&table).filter(|ready| ready.pinned).map(|ready| ready.bytes).sum()
    }

    /// Takes a model out; those who ask it already are still answered. False when it was not
    /// loaded.
    pub(super) fn unload(&self, name: &str) -> Result<bool, Refusal> {
        let Some(ready) = self.ready(name) else { return Ok(false) };
        if ready.pinned {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "this model is pinned")
                .help("take it out of models.pinned"));
        }
        let mut table = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, other| !Arc::ptr_eq(other, &ready));
        drop(table);
        self.rest().counts.unloads.add(1);
        self.settings.tell(&Change::Unloaded { model: &ready.served.names.model });
        Ok(true)
    }

    /// Loads the object `key` under a name of the caller's own.
    pub(super) async fn load_as(self: &Arc<Hot>, name: &str, key: &str) -> Loaded {
        check(key)?;
        let mut answer = self.load(name, Some(key.to_owned()))?;
        let wait = answer.wait_for(Option::is_some);
        match tokio::time::timeout(self.settings.invocation_timeout, wait).await {
            Ok(Ok(result)) => result.clone().unwrap_or_else(|| Err(lost(name))),
            _ => Err(lost(name)),
        }
    }

    /// The key below the place that an address or path means, if it is below it.
    pub(super) fn key_of(&self, url: &str) -> Option<String> {
        let place = self.many.place.to_string();
        let place = place.trim_end_matches('/');
        let inside = url.strip_prefix("file://").unwrap_or(url).strip_prefix(place);
        match inside.map(|rest| rest.strip_prefix('/')) {
            Some(Some(key)) => Some(key.to_owned()),
            Some(None) => None,
            None if url.contains("://") || url.starts_with('/') => None,
            None => Some(url.to_owned()),
        }
    }

    /// Loaded models under the names they were asked by, in order; by their key where there is no
    /// other.
    pub(super) fn names(&self) -> Vec<(Arc<str>, String)> {
        let table = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        let aliases = table.iter().filter(|(name, ready)| ***name != *ready.key);
        let aliased: std::collections::HashSet<&str> =
            aliases.map(|(_, ready)| ready.key.as_str()).collect();
        let mut names: Vec<(Arc<str>, String)> = table
            .iter()
            .filter(|(name, ready)| ***name != *ready.key || !aliased.contains(ready.key.as_str()))
            .map(|(name, ready)| (Arc::clone(name), ready.object.uri.to_string()))
            .collect();
        names.sort();
        names
    }

    /// Each loaded model once.
    pub(super) fn all(&self) -> Vec<Arc<Served>> {
        let table = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<&Arc<Ready>> = distinct(&table).collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all.into_iter().map(|ready| Arc::clone(&ready.served)).collect()
    }

    /// Every model there is.
    pub(super) async fn list(self: &Arc<Hot>) -> Result<Vec<Listed>, Refusal> {
        let hot = Arc::clone(self);
        let listed = self.background.ask(move || hot.many.library.list(&hot.many.place)).await;
        let objects = match listed {
            Some(Ok(objects)) => objects,
            Some(Err(error)) => {
                tracing::warn!(%error, "the models could not be listed");
                let what = "the store of the models cannot be asked";
                return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, what)
                    .help("the server's log says why"));
            }
            None => return Err(lost("")),
        };
        let table = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        let rest = self.rest();
        let place = self.many.place.to_string();
        let of = |object: Object| {
            let uri = object.uri.to_string();
            let key = uri.strip_prefix(place.trim_end_matches('/'))?.strip_prefix('/')?.to_owned();
            // Others are loaded by their whole name, and may as well be something else.
            key.ends_with(".tar.gz").then_some(())?;
            let name = short(&key).to_owned();
            let broken = rest.broken.get(name.as_str()).filter(|broken| broken.object.is_some());
            let state = match (table.contains_key(key.as_str()), broken) {
                (true, _) => State::Ready,
                (false, Some(broken)) => State::Broken(broken.refusal.message.clone()),
                (false, None) => State::Unloaded,
            };
            Some(Listed { name, key, state })
        };
        Ok(objects.into_iter().filter_map(of).collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// (models, bytes) that are loaded.
    pub(super) fn size(&self) -> (usize, u64) {
        let table = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        distinct(&table).fold((0, 0), |sum, ready| (sum.0 + 1, sum.1 + ready.bytes))
    }

    /// Looks at the counts.
    pub(super) fn counts<T>(&self, read: impl FnOnce(&Counts) -> T) -> T {
        read(&self.rest().counts)
    }

    /// Loads the pinned models, on the caller's thread.
    ///
    /// # Errors
    /// The first that cannot be loaded.
    pub(super) fn load_pinned(&self) -> Result<(), Error> {
        for name in &self.many.pinned {
            let failed = |refusal: Refusal| Error::Pinned {
                name: name.clone(),
                what: refusal.message,
                help: refusal.help,
            };
            check(name).map_err(failed)?;
            match self.open(name, None) {
                Ok(Some(ready)) => drop(self.publish(&name.as_str().into(), ready)),
                Ok(None) => return Err(failed(lost(name))),
                Err(useless) => return Err(failed(useless.0.refusal(name))),
            }
        }
        Ok(())
    }

    /// Looks whether a loaded model has been stored anew, and if so loads it in its place: those
    /// who have the old one are answered by it. True when it was. Takes as long as loading.
    pub(super) fn refresh(&self, name: &str) -> Result<bool, Refusal> {
        let Some(old) = self.ready(name) else { return Ok(false) };
        let told = |why: Unloaded| {
            if let Unloaded::Store(error) = &why {
                tracing::warn!(model = name, %error, "model could not be looked at");
            }
            why.refusal(name)
        };
        let object = self.many.library.find(&old.object.uri).map_err(told)?;
        if same(&old.object, &object) {
            return Ok(false);
        }
        let new = Arc::new(self.read(old.key.clone(), object).map_err(told)?);
        new.used.store(old.used.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut table = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        replace(&mut table, &old, &new);
        drop(table);
        tracing::info!(model = name, "model loaded anew");
        let (from, to) = (&*old.served.model.digest, &*new.served.model.digest);
        self.settings.tell(&Change::Swapped { variant: name, from, to });
        Ok(true)
    }

    /// Looks at all loaded models whenever it is time, by one listing, and loads anew what has
    /// changed; until `pause` says that the endpoint stops.
    pub(super) fn watch(&self, every: Duration, pause: &dyn Fn(Duration) -> bool) {
        while pause(every) {
            let objects = match self.many.library.list(&self.many.place) {
                Ok(objects) => objects,
                Err(error) => {
                    tracing::warn!(%error, "the models could not be looked at");
                    continue;
                }
            };
            let now: HashMap<String, Object> =
                objects.into_iter().map(|object| (object.uri.to_string(), object)).collect();
            let table = self.ready.read().unwrap_or_else(PoisonError::into_inner);
            let loaded: Vec<Arc<Ready>> = distinct(&table).cloned().collect();
            drop(table);
            for ready in loaded {
                let changed = |now: &Object| !same(&ready.object, now);
                if now.get(&ready.object.uri.to_string()).is_some_and(changed)
                    && let Err(refusal) = self.refresh(&ready.key)
                {
                    tracing::warn!(
                        model = ready.key,
                        reason = refusal.message,
                        "model not loaded anew"
                    );
                }
            }
        }
    }

    /// How often [`watch`](Self::watch) is to look.
    pub(super) fn watch_every(&self) -> Option<Duration> {
        self.many.watch
    }

    /// Runs [`refresh`](Self::refresh) where it delays nobody.
    pub(super) async fn ask_refresh(self: &Arc<Hot>, name: &str) -> Result<bool, Refusal> {
        let (hot, own) = (Arc::clone(self), name.to_owned());
        self.background.ask(move || hot.refresh(&own)).await.unwrap_or_else(|| Err(lost(name)))
    }

    /// Where the models are.
    pub(super) fn place(&self) -> &Uri {
        &self.many.place
    }
}

/// Puts a model in the place of another under each of its names.
fn replace(table: &mut HashMap<Arc<str>, Arc<Ready>>, old: &Arc<Ready>, new: &Arc<Ready>) {
    for ready in table.values_mut().filter(|ready| Arc::ptr_eq(ready, old)) {
        *ready = Arc::clone(new);
    }
}

/// What a model takes in memory, about.
fn weight(model: &Model) -> u64 {
    (model.bytes as f64 * MEMORY_PER_BYTE) as u64 + OVERHEAD_BYTES
}

/// Each model once, whatever its names: the entry under its key.
fn distinct(table: &HashMap<Arc<str>, Arc<Ready>>) -> impl Iterator<Item = &Arc<Ready>> {
    table.iter().filter(|(name, ready)| ***name == *ready.key).map(|(_, ready)| ready)
}

fn lost(name: &str) -> Refusal {
    Refusal {
        retry_after_s: Some(1),
        ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("model {name:?} is not loaded"))
    }
}

/// Endings that a short name leaves out; the first that is there is meant.
const ENDINGS: [&str; 3] = [".tar.gz", "/model.tar.gz", "/output/model.tar.gz"];

/// A key without its ending.
fn short(key: &str) -> &str {
    let long = ["/output/model.tar.gz", "/model.tar.gz", ".tar.gz"];
    let cut = long.iter().find_map(|ending| key.strip_suffix(ending));
    cut.filter(|name| !name.is_empty()).unwrap_or(key)
}

/// What policies call a model of this name, whichever of its names it is: `tenant-7.tar.gz`, as AWS's
/// callers do. Names that may mean one object have one; the last parts of a path that a short name
/// leaves out never tell two models apart.
fn canonical(name: &str) -> String {
    let bare = name.strip_suffix(".tar.gz").unwrap_or(name);
    let bare = bare.strip_suffix("/model").unwrap_or(bare);
    let bare = bare.strip_suffix("/output").unwrap_or(bare);
    format!("{bare}.tar.gz")
}

/// Where a model of this name may lie.
fn keys_of(name: &str) -> Vec<String> {
    if name.ends_with(".tar.gz") {
        return vec![name.to_owned()];
    }
    let ended = ENDINGS.iter().map(|ending| format!("{name}{ending}"));
    ended.chain([name.to_owned()]).collect()
}

/// A name that stays below its place.
fn check(name: &str) -> Result<(), Refusal> {
    let parts = || name.split('/');
    let bad = name.is_empty()
        || name.chars().count() > MODEL_NAME_CHARS_MAX
        || name.chars().any(|c| c.is_control() || c == '\\')
        || parts().any(|part| part.is_empty() || part.starts_with('.') || part.starts_with('_'));
    match bad {
        false => Ok(()),
        true => Err(Refusal::new(StatusCode::NOT_FOUND, "this is no name of a model")
            .help("names are like tenant-7 or team/tenant-7.tar.gz")
            .runtime("ValidationError")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_leave_the_ending_out() {
        for (key, name) in [
            ("a.tar.gz", "a"),
            ("a/model.tar.gz", "a"),
            ("a/output/model.tar.gz", "a"),
            ("team/a.tar.gz", "team/a"),
            ("model.tar.gz", "model"),
            ("a.ubj", "a.ubj"),
            (".tar.gz", ".tar.gz"),
        ] {
            assert_eq!(short(key), name, "{key}");
        }
        assert_eq!(keys_of("a.tar.gz"), ["a.tar.gz"]);
        let keys = ["a.tar.gz", "a/model.tar.gz", "a/output/model.tar.gz", "a"];
        assert_eq!(keys_of("a"), keys);
    }

    #[test]
    fn every_name_that_may_mean_one_object_is_one_name_to_policies() {
        for key in ["a.tar.gz", "a/model.tar.gz", "a/output/model.tar.gz"] {
            assert_eq!(canonical(key), "a.tar.gz");
            // Whoever may find it by another name is asked about the same.
            for name in ["a", "a/model", "a/output", "a/output/model", "a.tar.gz", "a/model.tar.gz"]
            {
                if keys_of(name).iter().any(|found| found == key) {
                    assert_eq!(canonical(name), canonical(key), "{name}");
                }
            }
        }
        assert_eq!(canonical("team/b"), "team/b.tar.gz");
    }

    #[test]
    fn a_name_never_leaves_its_place() {
        for name in ["", "..", "../a", "a/../b", "/etc/passwd", "a//b", ".hidden", "a\n", "a\\b"] {
            assert!(check(name).is_err(), "{name:?}");
        }
        for name in ["a", "a.tar.gz", "team/a-1_b.tar.gz", "é"] {
            assert!(check(name).is_ok(), "{name}");
        }
    }
}
