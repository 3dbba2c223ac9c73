//! An endpoint of variants before it starts: their artifacts are opened here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hyper::header::HeaderValue;

use super::book::{Book, Label};
use super::endpoint::Settings;
use super::error::Error;
use super::library::{Library, Unloaded};
use super::served::{Names, Served};
use super::shadow::Shadow;
use super::traffic::{Means, Source, Traffic, Variant};
use crate::model::Model;
use crate::spec::endpoint;
use crate::spec::uri::Uri;

/// The models that share an endpoint's traffic, and how it may change.
#[derive(Clone)]
pub struct Variants {
    /// How artifacts are opened.
    pub library: Library,
    /// The variants; one at least.
    pub production: Vec<endpoint::Variant>,
    /// Gets a copy of the traffic.
    pub shadow: Option<endpoint::Shadow>,
    /// Begins when the endpoint starts.
    pub rollout: Option<endpoint::Rollout>,
    /// Callers may put in artifacts below this place; `None`: they may change nothing.
    pub admin: Option<Uri>,
}

/// A variant's model, opened.
pub(super) struct Opened {
    variant: endpoint::Variant,
    source: Source,
    pub(super) model: Model,
}

impl Variants {
    /// Opens what the endpoint starts with, the shadow's model last.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub(super) fn open(&self) -> Result<Vec<Opened>, Error> {
        let shadow = self.shadow.iter().map(|shadow| &shadow.variant);
        self.production.iter().chain(shadow).map(|variant| self.opened(variant)).collect()
    }

    fn opened(&self, variant: &endpoint::Variant) -> Result<Opened, Error> {
        let uri = &variant.model;
        let open = || {
            let object = self.library.find(uri)?;
            let model = self.library.open(&object, &uri.to_string())?;
            Ok((Source { object, watch: variant.watch }, model))
        };
        let (source, model) = open().map_err(|why: Unloaded| {
            let (what, help) = why.told(uri);
            Error::Variant { name: variant.name.to_string(), what, help }
        })?;
        Ok(Opened { variant: variant.clone(), source, model })
    }

    /// Puts opened models behind one door.
    ///
    /// # Errors
    /// When one cannot answer, or they do not take the same rows.
    pub(super) fn traffic(
        self,
        opened: Vec<Opened>,
        settings: &Settings,
        book: &Arc<Book>,
    ) -> Result<Traffic, Error> {
        let signature = opened.first().map(|first| first.model.manifest.signature.clone());
        let mut variants = Vec::new();
        for Opened { variant, source, model } in opened {
            let name = variant.name.as_str();
            let (given, first) = (&model.manifest.signature, signature.as_ref());
            if first
                .is_some_and(|first| (first.features, first.cells) != (given.features, given.cells))
            {
                return Err(Error::Variant {
                    name: name.to_owned(),
                    what: format!("takes {} features, and others do not", given.features),
                    help: Some("variants of one endpoint take the same rows".into()),
                });
            }
            let names = Names {
                model: settings.name.as_str().into(),
                variant: HeaderValue::from_str(name).expect("a name is letters, digits, hyphens"),
            };
            let sheet = book.sheet(&Label { variant: name.into(), model: None });
            let served = Arc::new(Served::new(model, names, sheet, settings)?);
            variants.push(Variant { served, weight: variant.weight, source: Some(source) });
        }
        let shadow = self.shadow.as_ref().and_then(|settings_of| {
            let Variant { served, source, .. } = variants.pop()?;
            let sampling = settings_of.sampling_percentage / 100.0;
            let thread = settings.threads + settings.workers + 1;
            Some(Shadow::new(served, source?, (sampling, settings_of.tolerance), thread))
        });
        let means = Means {
            library: self.library,
            settings: settings.clone(),
            admin: self.admin,
            changing: Mutex::new(HashMap::new()),
        };
        Ok(Traffic::new(variants, shadow, Some(means)))
    }
}
