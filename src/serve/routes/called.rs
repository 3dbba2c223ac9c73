//! Calls over gRPC: inference as at the other doors, and everything else as [`grpc::answer`] has it.

use std::time::Instant;

use hyper::StatusCode;

use super::{Front, Whom, put_id};
use crate::data::oip;
use crate::http::{Body, Call, Caller, Reply, Stage};
use crate::serve::asked::Asked;
use crate::serve::codec::{Refusal, Wire};
use crate::serve::line::Line;
use crate::serve::{grpc, invoke};
use crate::telemetry::log::ACCESS;

impl Front {
    /// A call over gRPC: everything but inference is the answer of the same question over HTTP.
    pub(super) async fn called(&self, call: Call, method: grpc::Method, id: &[u8; 36]) -> Reply {
        let asked = Asked::read(&call.head.headers);
        let told = match method {
            grpc::Method::ModelInfer => {
                self.inferred(asked, call.body, &call.caller, call.stage, id).await
            }
            _ => {
                let told = async {
                    let message = grpc::message(&asked, call.body).await?;
                    grpc::answer(&self.endpoint, call.stage, method, &message.bytes).await
                };
                let told = told.await;
                let status = told.as_ref().err().map_or(200, |refusal| refusal.status.as_u16());
                self.answers().answered(status);
                tracing::debug!(target: ACCESS, path = call.head.uri.path(), status, "request completed");
                told
            }
        };
        let mut reply = told.unwrap_or_else(|refusal| grpc::refusal(&refusal));
        put_id(&mut reply, id);
        reply
    }

    async fn inferred(
        &self,
        asked: Asked<'_>,
        body: Body,
        caller: &Caller,
        stage: Stage,
        id: &[u8; 36],
    ) -> Result<Reply, Refusal> {
        let mut line = Line::begin(&self.endpoint, self.thread, id, &asked, caller);
        let found = async {
            if stage >= Stage::Closing {
                let what = "the server is stopping";
                return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, what));
            }
            asked.check()?;
            let timeout = grpc::timeout(&asked)?;
            let message = grpc::message(&asked, body).await?;
            let (name, version) = oip::model_of(&message.bytes)?;
            if !grpc::is_version(version) {
                return Err(grpc::unknown_version(name, version));
            }
            let ticket = self.tickets.borrow_mut().next();
            let served = self.find(&asked, &Whom::Named(name.into()), ticket).await?;
            Ok((served, timeout, message, ticket))
        };
        let result = match found.await {
            Err(refusal) => Err(refusal),
            Ok((served, timeout, message, ticket)) => {
                let served = line.served.insert(served);
                let stats = served.sheet.of(self.thread);
                let Front { endpoint, scratch, .. } = self;
                let request = invoke::Request {
                    ticket,
                    wire: Wire::Grpc,
                    ask: endpoint.settings.ask.clone(),
                    body: message.bytes.clone(),
                    timeout,
                    remote: caller.remote.ip(),
                };
                let begun = Instant::now();
                let outcome =
                    invoke::answer(endpoint, served, stats, scratch, request, begun).await;
                line.outcome(&outcome);
                outcome.result
            }
        };
        line.status = result.as_ref().err().map_or(200, |refusal| refusal.status.as_u16());
        result.map(|answered| grpc::framed_reply(answered.body))
    }
}
