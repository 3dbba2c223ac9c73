//! What an endpoint serves, from what its owner named to models that answer.

use std::sync::Arc;
use std::thread::JoinHandle;

use hyper::header::HeaderValue;

use super::background::Background;
use super::book::{Book, Label};
use super::endpoint::{Endpoint, Fleet, Settings};
use super::error::Error;
use super::hot::{Hot, Many};
use super::rollout;
use super::served::{Names, Served};
use super::traffic::{ONLY_VARIANT, Traffic};
use super::variants::{Opened, Variants};
use crate::model::Model;
use crate::spec::endpoint::Rollout;

/// As its owner named it.
pub(super) enum Serving {
    One(Box<Model>),
    Variants(Box<Variants>),
    Many(Box<Many>),
}

/// With the artifacts opened that have to be.
pub(super) enum Ready {
    One(Box<Model>),
    Variants(Box<Variants>, Vec<Opened>),
    Many(Many),
}

impl Serving {
    /// Opens what has to be there from the start.
    pub(super) fn open(self) -> Result<Ready, Error> {
        Ok(match self {
            Serving::One(model) => Ready::One(model),
            Serving::Variants(variants) => {
                let opened = variants.open()?;
                Ready::Variants(variants, opened)
            }
            Serving::Many(many) => Ready::Many(*many),
        })
    }
}

impl Ready {
    /// The endpoint's name when nobody gave it one.
    pub(super) fn name(&self) -> String {
        match self {
            Ready::One(model) => model.manifest.job.clone(),
            Ready::Variants(_, opened) => {
                opened.first().map_or_else(String::new, |first| first.model.manifest.job.clone())
            }
            Ready::Many(_) => "models".to_owned(),
        }
    }

    /// What goes on in the background once the endpoint answers.
    pub(super) fn rollout(&self) -> Option<Rollout> {
        match self {
            Ready::Variants(variants, _) => variants.rollout.clone(),
            Ready::One(_) | Ready::Many(_) => None,
        }
    }

    /// Measures what is there and puts it behind the door.
    pub(super) fn fleet(
        self,
        settings: &Settings,
        book: &Arc<Book>,
        background: &Arc<Background>,
    ) -> Result<Fleet, Error> {
        match self {
            Ready::One(model) => {
                let names = Names {
                    model: settings.name.as_str().into(),
                    variant: HeaderValue::from_static(ONLY_VARIANT),
                };
                let sheet = book.sheet(&Label { variant: ONLY_VARIANT.into(), model: None });
                let served = Arc::new(Served::new(*model, names, sheet, settings)?);
                Ok(Fleet::Variants(Box::new(Traffic::only(served))))
            }
            Ready::Variants(variants, opened) => {
                Ok(Fleet::Variants(Box::new(variants.traffic(opened, settings, book)?)))
            }
            Ready::Many(many) => {
                let (settings, book) = (settings.clone(), Arc::clone(book));
                let hot = Hot::new(many, settings, book, Arc::clone(background));
                hot.load_pinned()?;
                Ok(Fleet::Many(hot))
            }
        }
    }
}

/// Starts what changes an endpoint's variants while it answers.
pub(super) fn change(
    endpoint: &Arc<Endpoint>,
    rollout: Option<Rollout>,
) -> Result<Vec<JoinHandle<()>>, Error> {
    let mut threads = Vec::new();
    let traffic = match &endpoint.fleet {
        Fleet::Variants(traffic) => traffic,
        Fleet::Many(hot) => {
            if let Some(every) = hot.watch_every() {
                let (hot, background) = (Arc::clone(hot), Arc::clone(&endpoint.background));
                let watch = move || hot.watch(every, &|time| background.pause(time));
                let thread = std::thread::Builder::new().name("smrt-watch".into()).spawn(watch);
                threads.push(thread.map_err(Error::Thread)?);
            }
            return Ok(threads);
        }
    };
    let start = |name: &str, work: fn(&Endpoint, &Traffic, Option<&Rollout>), rollout| {
        let endpoint = Arc::clone(endpoint);
        let run = move || {
            if let Fleet::Variants(traffic) = &endpoint.fleet {
                work(&endpoint, traffic, Option::as_ref(&rollout));
            }
        };
        std::thread::Builder::new().name(name.into()).spawn(run).map_err(Error::Thread)
    };
    if !traffic.watched().is_empty() {
        let watch = |endpoint: &Endpoint, traffic: &Traffic, _: Option<&Rollout>| {
            traffic.watch(&|time| endpoint.background.pause(time));
        };
        threads.push(start("smrt-watch", watch, None)?);
    }
    if rollout.is_some() {
        let roll = |endpoint: &Endpoint, traffic: &Traffic, rollout: Option<&Rollout>| {
            if let Some(rollout) = rollout {
                rollout::run(traffic, rollout, &|time| endpoint.background.pause(time));
            }
        };
        threads.push(start("smrt-rollout", roll, rollout)?);
    }
    if let Some(shadow) = &traffic.shadow {
        threads.push(shadow.start()?);
    }
    Ok(threads)
}
