//! The registry: who the cluster is, where things are, and certificates.

use bytes::Bytes;
use holdfast_certs::{LeafRequest, Peer, SubjectKey, csr};
use holdfast_domain::{AccountId, ClientId, Home, InvitePublic, Reason, Signature64, SpiffeSubject};
use holdfast_keys::{ClientPublic, Registration};
use holdfast_proto::registry::v1::{self as pb, clients_server, directory_server};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Fake, refusal, row};
use crate::{time::now, trust::testing::Founded};

impl Fake {
    fn bundle(&self) -> pb::TrustBundle {
        let Founded { root_der, signed, .. } = &self.inner.founded;
        let trust = self.inner.founded.trust();
        pb::TrustBundle {
            cluster_id: trust.cluster().as_bytes().to_vec().into(),
            trust_domain: trust.trust_domain().to_string(),
            root_der: root_der.clone().into(),
            sequence: 1,
            genesis: Some(row(signed)),
        }
    }

    fn issue(&self, key: SubjectKey, client: ClientId, account: AccountId) -> pb::ClientGrant {
        let home = Home { account, quota_bytes: 1 << 30 };
        let leaf = LeafRequest {
            subject: SpiffeSubject::Client(client),
            key,
            now: now(),
            not_after: now().plus_ms(3_600_000),
            home: Some(home),
        };
        let chain = self.inner.founded.workload.issue(&leaf).unwrap();
        pb::ClientGrant {
            chain: chain.into_ders().into_iter().map(Bytes::from).collect(),
            bundle: Some(self.bundle()),
            renew_after_ms: 0,
            quota_bytes: home.quota_bytes,
        }
    }
}

fn signature(bytes: &[u8]) -> Signature64 {
    Signature64(bytes.try_into().unwrap())
}

#[tonic::async_trait]
impl directory_server::Directory for Fake {
    type WatchStream = ReceiverStream<Result<pb::WatchEvent, Status>>;

    async fn bootstrap(
        &self,
        _: Request<pb::BootstrapRequest>,
    ) -> Result<Response<pb::BootstrapReply>, Status> {
        let voter = |address: &String| pb::Voter { address: address.clone(), ..pb::Voter::default() };
        let voters = self.state().voters.iter().map(voter).collect();
        let reply = pb::BootstrapReply { bundle: Some(self.bundle()), voters, server_time_ms: now().0 };
        Ok(Response::new(reply))
    }

    async fn resolve(&self, _: Request<pb::ResolveRequest>) -> Result<Response<pb::ResolveReply>, Status> {
        self.state().calls.push("resolve");
        Ok(Response::new(pb::ResolveReply { map: Some(row(&self.map())), group: 1 }))
    }

    async fn watch(&self, _: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not for clients"))
    }
}

#[tonic::async_trait]
impl clients_server::Clients for Fake {
    async fn register(
        &self,
        request: Request<pb::RegisterRequest>,
    ) -> Result<Response<pb::ClientGrant>, Status> {
        let exporter = *request.extensions().get::<Peer>().unwrap().exporter.as_bytes();
        let request = request.into_inner();
        let invite = InvitePublic::try_from(&*request.invite_public).unwrap();
        let (account, client) = (
            AccountId::try_from(&*request.account_id).unwrap(),
            ClientId::try_from(&*request.client_id).unwrap(),
        );
        let cluster = self.inner.founded.trust().cluster();
        let message =
            Registration { cluster, exporter: &exporter, account, client, csr: &request.csr, invite }
                .message();
        let key = *csr::parse(&request.csr).unwrap().key();
        let SubjectKey::Ed25519(public) = key else { return Err(refusal(Reason::CertificateRequest)) };
        let proven = public.verify_raw(&message, &signature(&request.proof)).is_ok();
        let invited = ClientPublic::try_from(invite).unwrap();
        if !proven || invited.verify_raw(&message, &signature(&request.invite_signature)).is_err() {
            return Err(refusal(Reason::ProofOfPossession));
        }
        Ok(Response::new(self.issue(key, client, account)))
    }

    async fn renew(&self, _: Request<pb::RenewRequest>) -> Result<Response<pb::ClientGrant>, Status> {
        Err(refusal(Reason::ProofOfPossession))
    }

    async fn list_devices(
        &self,
        _: Request<pb::ListDevicesRequest>,
    ) -> Result<Response<pb::ListDevicesReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }

    async fn add_device(
        &self,
        _: Request<pb::AddDeviceRequest>,
    ) -> Result<Response<pb::ChangeDeviceReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }

    async fn rotate_device(
        &self,
        _: Request<pb::RotateDeviceRequest>,
    ) -> Result<Response<pb::ChangeDeviceReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }

    async fn revoke_device(
        &self,
        _: Request<pb::RevokeDeviceRequest>,
    ) -> Result<Response<pb::ChangeDeviceReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }

    async fn set_recovery(
        &self,
        _: Request<pb::SetRecoveryRequest>,
    ) -> Result<Response<pb::ChangeDeviceReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }

    async fn recover(
        &self,
        _: Request<pb::RecoverRequest>,
    ) -> Result<Response<pb::ChangeDeviceReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }

    async fn set_login(
        &self,
        _: Request<pb::SetLoginRequest>,
    ) -> Result<Response<pb::ChangeDeviceReply>, Status> {
        Err(refusal(Reason::NotPermitted))
    }
}
