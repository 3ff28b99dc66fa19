//! Wrap rows: signed by the TPM's TLS key, and checked against the wrapping machine's.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_domain::{
    GroupId, Kcv, KeyGeneration, KeySubject, NodeId, Signature64, Signed, WrapRow, WrapTarget, wrap::MAX_WRAP,
};
use holdfast_enrol::{member::Member, registries::Registries};
use holdfast_keys::{P256Public, labels, sign_value, verify_value};
use holdfast_proto::registry::v1::{
    GetWrapsRequest, PutWrapsRequest, SignedRow, custody_client::CustodyClient,
};

use super::CustodyError;

/// Puts a wrap into a row of ours.
pub(super) fn row(
    member: &Member,
    group: GroupId,
    generation: KeyGeneration,
    target: WrapTarget,
    kcv: Kcv,
) -> WrapRow {
    let settings = member.settings();
    WrapRow {
        cluster: settings.cluster,
        subject: KeySubject::Dmk(group),
        generation,
        target,
        kcv,
        by: settings.node,
    }
}

/// Signs rows with the TPM's TLS key and stores them at the registry.
pub(super) async fn put(
    member: &Member,
    registries: &Registries,
    rows: Vec<WrapRow>,
) -> Result<(), CustodyError> {
    let signer = member.machine.signer();
    let signing = tokio::task::spawn_blocking(move || {
        rows.iter().map(|row| sign_value(&signer, labels::WRAP_ROW, row)).collect::<Result<Vec<_>, _>>()
    });
    let signed = signing.await.map_err(|_| CustodyError::Answer("signing was interrupted"))??;
    let wraps: Vec<_> = signed.into_iter().map(to_wire).collect();
    registries
        .call(|channel| {
            let request = PutWrapsRequest { wraps: wraps.clone() };
            async move { CustodyClient::new(channel).put_wraps(request).await }
        })
        .await?;
    Ok(())
}

/// All rows of a group that the registry gives us, unchecked.
pub(super) async fn get(
    registries: &Registries,
    group: GroupId,
) -> Result<Vec<Signed<WrapRow>>, CustodyError> {
    let reply = registries
        .call(|channel| async move {
            CustodyClient::new(channel).get_wraps(GetWrapsRequest { group: group.0 }).await
        })
        .await?;
    reply.into_inner().wraps.into_iter().map(from_wire).collect()
}

/// Checks a row against the key of the machine that it names.
pub(super) fn verify(
    signed: &Signed<WrapRow>,
    group: GroupId,
    by: NodeId,
    key: &P256Public,
) -> Result<WrapRow, CustodyError> {
    verify_value(signed, key, labels::WRAP_ROW, MAX_WRAP).map_err(|source| CustodyError::Signature {
        group,
        by,
        source,
    })
}

fn to_wire(signed: Signed<WrapRow>) -> SignedRow {
    SignedRow { bytes: signed.bytes.into(), signature: Bytes::copy_from_slice(&signed.signature.0) }
}

fn from_wire(row: SignedRow) -> Result<Signed<WrapRow>, CustodyError> {
    let signature = row
        .signature
        .as_ref()
        .try_into()
        .map_err(|_| CustodyError::Answer("a signature has another length"))?;
    Ok(Signed::from_parts(row.bytes.to_vec(), Signature64(signature)))
}

/// What custody needs of the node.
#[derive(Clone)]
pub struct Keeper {
    /// The member.
    pub member: Arc<Member>,
    /// The registry.
    pub registries: Registries,
}
