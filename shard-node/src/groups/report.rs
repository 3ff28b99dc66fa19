//! Telling the registry how far a replica is.

use holdfast_domain::{GroupId, ReplicaId};
use holdfast_proto::registry::v1::{ReplicaReport, ReportRequest, custody_client::CustodyClient};

use super::{Runtime, StepError};

/// `other` is what the report is about beside the own replica; 0 where there is nothing.
pub(crate) async fn report(
    runtime: &Runtime,
    (group, own): (GroupId, ReplicaId),
    report: ReplicaReport,
    other: u64,
) -> Result<(), StepError> {
    let request = ReportRequest { group: group.0, replica_id: own.0, report: report.into(), other };
    let answer = runtime
        .keeper
        .registries
        .call(|channel| async move { CustodyClient::new(channel).report(request).await })
        .await;
    answer?;
    tracing::info!(%group, replica = %own, report = report.as_str_name(), other, "reported");
    Ok(())
}
