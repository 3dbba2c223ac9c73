//! `ip-insights`: which entity uses which addresses, SageMaker's IP Insights.
//!
//! An entity (a user, an account) has an embedding; an address has one too, made from its bits by
//! a small network, so that addresses of one network are near each other whether they were seen or
//! not. Their dot product is the log odds that the pair is a real login and not one made up: low is
//! anomalous. IPv6 works as IPv4 does. The training runs through burn on the job's device.

use super::parameter::Parameter;
use super::{Channels, Context, Definition, Error, Files, Fitted, Predictor, Reads, Trainer};
use crate::data::Signature;
use crate::spec::parameter::RawParameters;
use crate::spec::problem::Problems;

mod address;
mod logins;
pub mod model;
mod settings;
mod step;
mod train;

use settings::Settings;

/// The algorithm, for the table.
#[derive(Debug, Clone, Copy)]
pub struct IpInsights;

impl Definition for IpInsights {
    fn name(&self) -> &'static str {
        "ip-insights"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["ipinsights"]
    }

    fn summary(&self) -> &'static str {
        "which entity uses which IP addresses: a login that does not fit scores low"
    }

    fn parameters(&self) -> &'static [Parameter] {
        settings::TABLE
    }

    fn reads(&self) -> Reads {
        Reads { logins: true, ..Reads::default() }
    }

    fn trainer(&self, raw: &RawParameters, problems: &mut Problems) -> Option<Box<dyn Trainer>> {
        let settings = Settings::read(raw, problems)?;
        Some(Box::new(Learning { settings }))
    }

    fn open(&self, signature: &Signature, files: &Files) -> Result<Box<dyn Predictor>, Error> {
        Ok(Box::new(model::Model::read(signature, files)?))
    }
}

struct Learning {
    settings: Settings,
}

impl Trainer for Learning {
    fn effective(&self) -> serde_json::Map<String, serde_json::Value> {
        self.settings.effective.clone()
    }

    fn streams(&self) -> bool {
        true
    }

    fn fit(&self, data: &Channels, context: &mut Context<'_>) -> Result<Fitted, Error> {
        train::fit(&self.settings, data, context)
    }
}
