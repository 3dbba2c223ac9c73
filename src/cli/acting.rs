//! `role = "…"`: a job or an endpoint acts with a role of `smrt iam`, and with nothing else.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Failure, audited, iam, open};
use crate::iam::door::DEFAULT_REGION;
use crate::iam::policy::Context;
use crate::iam::state::{Acting, Work};
use crate::keyring::KeyRing;
use crate::role;
use crate::seal::{KeyService, LocalKeys};
use crate::spec::name::LOCAL_ACCOUNT;
use crate::spec::role::RoleArn;
use crate::spec::train::{SealKey, Storage, TrainingJob};
use crate::spec::transform::TransformJob;
use crate::store::Store;

/// Whose roles, and who passes one.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Role")]
pub(super) struct RoleOptions {
    /// The state of `smrt iam` that has the role [default: iam/state in SMRT_HOME]
    #[arg(long, value_name = "STATE", value_hint = clap::ValueHint::FilePath)]
    roles: Option<PathBuf>,

    /// The user who starts it and must be allowed to, and to pass the role [default: the owner of
    /// the state, who may do everything]
    #[arg(long, value_name = "USER")]
    caller: Option<String>,
}

/// What a job or an endpoint works with.
pub(super) struct Means {
    pub(super) store: Store,
    pub(super) keys: Arc<dyn KeyService>,
}

impl Means {
    /// Everything that the user who runs this process has.
    pub(super) fn own(storage: &Storage, key: &SealKey) -> Result<Means, Failure> {
        Ok(Means { store: Store::new(storage), keys: open::keys(storage, key)? })
    }

    /// What is left of it for who acts with a role.
    fn within(
        self,
        acting: &Arc<Acting>,
        storage: &Storage,
        key: &SealKey,
    ) -> Result<Means, Failure> {
        let ring = Arc::new(KeyRing::of_user(storage, key)?);
        // Recorded as the role's, and what the role may not do, too.
        let keys = role::keys(acting, ring, Some(LocalKeys::of_user()?));
        Ok(Means {
            store: role::store(acting, self.store),
            keys: audited::keys(keys, acting.arn(), acting.region())?,
        })
    }
}

impl RoleOptions {
    /// Where roles are, if the options do not say.
    #[must_use]
    pub(super) fn or_state(mut self, state: Option<&PathBuf>) -> RoleOptions {
        self.roles = self.roles.or_else(|| state.cloned());
        self
    }

    /// Who starts it, where it is not who runs the process.
    pub(super) fn caller(&self) -> Option<String> {
        self.caller.clone()
    }

    /// For a training job.
    pub(super) fn of_training(&self, job: &TrainingJob) -> Result<Means, Failure> {
        let mut known = of_key(&job.output.key);
        let seconds = job.stopping.max_runtime.as_secs().to_string();
        known.set("sagemaker:MaxRuntimeInSeconds", seconds);
        known.set("sagemaker:NetworkIsolation", job.network.isolation.is_apart().to_string());
        let work = (
            "sagemaker:CreateTrainingJob",
            format!("training-job/{}", job.name),
            region(&job.storage),
            known,
        );
        self.means(job.role.as_ref(), (&job.storage, &job.output.key), work)
    }

    /// For a batch transform.
    pub(super) fn of_transform(&self, job: &TransformJob) -> Result<Means, Failure> {
        let work = (
            "sagemaker:CreateTransformJob",
            format!("transform-job/{}", job.name),
            region(&job.storage),
            of_key(&job.output.key),
        );
        self.means(job.role.as_ref(), (&job.storage, &job.output.key), work)
    }

    /// For an endpoint.
    pub(super) fn of_endpoint(
        &self,
        role: Option<&RoleArn>,
        name: &str,
        storage: &Storage,
        region: &str,
    ) -> Result<Means, Failure> {
        let work = (
            "sagemaker:CreateEndpoint",
            format!("endpoint/{name}"),
            region.to_owned(),
            Context::new(),
        );
        self.means(role, (storage, &SealKey::Default), work)
    }

    fn means(
        &self,
        role: Option<&RoleArn>,
        (storage, key): (&Storage, &SealKey),
        (action, resource, region, known): (&str, String, String, Context),
    ) -> Result<Means, Failure> {
        let means = Means::own(storage, key)?;
        let Some(role) = role else { return Ok(means) };
        let work = Work {
            action,
            resource: &resource,
            region: &region,
            known,
            caller: self.caller.as_deref(),
        };
        let state = iam::state(self.roles.as_ref())?;
        let pass = audited::Act {
            source: "iam.amazonaws.com",
            name: "PassRole",
            principal: self.caller.clone(),
            region: &region,
            resource: role.as_str(),
            parameters: vec![("for", resource.as_str().into())],
        };
        let acting = pass.recorded(|| Ok(Acting::begin(state, role, &work)?))?;
        means.within(&acting, storage, key)
    }
}

/// Where a job's objects are is where it runs.
pub(super) fn region(storage: &Storage) -> String {
    storage.s3.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned())
}

fn of_key(key: &SealKey) -> Context {
    match key {
        SealKey::Plain => Context::new(),
        key => Context::new().with("sagemaker:OutputKmsKey", key.to_string()),
    }
}

/// The account that a role is in; the local one without.
pub(super) fn account(role: Option<&RoleArn>) -> &str {
    let of_role = role.and_then(|role| role.as_str().split(':').nth(4));
    of_role.unwrap_or(LOCAL_ACCOUNT)
}
