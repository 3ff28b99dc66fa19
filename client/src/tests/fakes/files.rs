//! The files service and capabilities, as every node serves them.

use bytes::Bytes;
use holdfast_domain::{Reason, Sha256Hash};
use holdfast_files_api::v1::{self as files, files_server};
use holdfast_proto::module::v1::{GetCapabilitiesReply, GetCapabilitiesRequest, capabilities_server};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Fake, Fault, nodes::Kind, refusal};

impl Fake {
    fn info(name: &[u8], content: &[u8]) -> files::FileInfo {
        files::FileInfo {
            name: name.to_vec().into(),
            size: content.len().try_into().unwrap(),
            sha256: Sha256Hash::of(content).as_bytes().to_vec().into(),
            modified_ms: 7,
        }
    }

    fn stored(&self, name: &[u8]) -> Result<files::FileInfo, Status> {
        let state = self.state();
        let content = state.files.get(name).ok_or_else(|| refusal(Reason::NotFound))?;
        Ok(Self::info(name, content))
    }
}

#[tonic::async_trait]
impl files_server::Files for Fake {
    type GetStream = ReceiverStream<Result<files::GetReply, Status>>;

    async fn begin(
        &self,
        request: Request<files::BeginRequest>,
    ) -> Result<Response<files::BeginReply>, Status> {
        self.enter("begin", Kind::Write, &request, request.get_ref().route.clone()).await?;
        let files::BeginRequest { name, size, upload_id, .. } = request.into_inner();
        let mut state = self.state();
        let upload = state.uploads.entry(upload_id.to_vec()).or_insert((name.to_vec(), size, vec![]));
        Ok(Response::new(files::BeginReply { durable_bytes: upload.2.len().try_into().unwrap() }))
    }

    async fn append(
        &self,
        request: Request<Streaming<files::AppendRequest>>,
    ) -> Result<Response<files::AppendReply>, Status> {
        let (metadata, extensions, mut messages) = request.into_parts();
        let first = messages.message().await?.ok_or_else(|| refusal(Reason::Malformed))?;
        let request = Request::from_parts(metadata, extensions, ());
        self.enter("append", Kind::Write, &request, first.route.clone()).await?;
        let mut offset_wanted = Some(first.offset);
        let id = first.upload_id.to_vec();
        let mut next = Some(first);
        while let Some(files::AppendRequest { data, .. }) = next {
            {
                let mut state = self.state();
                let cut = match state.faults.front() {
                    Some(Fault::CutAppend(bytes)) => Some(*bytes),
                    _ => None,
                };
                let upload = state.uploads.get_mut(&id).ok_or_else(|| refusal(Reason::UploadUnknown))?;
                if offset_wanted.take().is_some_and(|offset| offset != u64::try_from(upload.2.len()).unwrap())
                {
                    return Err(refusal(Reason::Conflict));
                }
                upload.2.extend_from_slice(&data);
                let full = upload.2.len();
                state.appended += data.len();
                if cut.is_some_and(|bytes| full >= bytes) {
                    state.faults.pop_front();
                    return Err(Status::unavailable("the node went away"));
                }
            }
            next = messages.message().await?;
        }
        let durable = self.state().uploads[&id].2.len();
        Ok(Response::new(files::AppendReply { durable_bytes: durable.try_into().unwrap() }))
    }

    async fn commit(
        &self,
        request: Request<files::CommitRequest>,
    ) -> Result<Response<files::CommitReply>, Status> {
        self.enter("commit", Kind::Write, &request, request.get_ref().route.clone()).await?;
        let files::CommitRequest { upload_id, sha256, .. } = request.into_inner();
        let mut state = self.state();
        if state.faults.front() == Some(&Fault::LeaveBehind) {
            state.faults.pop_front();
            state.uploads.get_mut(&upload_id.to_vec()).unwrap().2.clear();
            return Err(refusal(Reason::UploadIncomplete));
        }
        let upload =
            state.uploads.remove(&upload_id.to_vec()).ok_or_else(|| refusal(Reason::UploadUnknown))?;
        let (name, size, content) = upload;
        assert_eq!(size, u64::try_from(content.len()).unwrap());
        if *sha256 != Sha256Hash::of(&content).as_bytes()[..] {
            return Err(refusal(Reason::HashMismatch));
        }
        let file = Some(Self::info(&name, &content));
        state.files.insert(name, content);
        Ok(Response::new(files::CommitReply { file }))
    }

    async fn put_small(
        &self,
        request: Request<files::PutSmallRequest>,
    ) -> Result<Response<files::CommitReply>, Status> {
        self.enter("put_small", Kind::Write, &request, request.get_ref().route.clone()).await?;
        let files::PutSmallRequest { name, data, route, .. } = request.into_inner();
        let mut state = self.state();
        if state.applied.insert(route.unwrap().command_id.to_vec()) {
            state.files.insert(name.to_vec(), data.to_vec());
        }
        if state.faults.front() == Some(&Fault::LoseReply) {
            state.faults.pop_front();
            return Err(Status::unavailable("the node went away"));
        }
        drop(state);
        Ok(Response::new(files::CommitReply { file: Some(Self::info(&name, &data)) }))
    }

    async fn get(&self, request: Request<files::GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        self.enter("get", Kind::Read, &request, request.get_ref().route.clone()).await?;
        let files::GetRequest { name, offset, .. } = request.into_inner();
        let info = self.stored(&name)?;
        let mut content = self.state().files[&name.to_vec()].clone();
        let mut cut = None;
        let mut state = self.state();
        match state.faults.front() {
            Some(Fault::CutGet(bytes)) => cut = Some(*bytes),
            Some(Fault::Corrupt) => content[0] ^= 1,
            _ => {}
        }
        state.faults.pop_front();
        drop(state);
        let (sender, receiver) = tokio::sync::mpsc::channel(2);
        tokio::spawn(async move {
            let first = files::GetReply { file: Some(info), data: Bytes::new() };
            let _ = sender.send(Ok(first)).await;
            let from = usize::try_from(offset).unwrap();
            let to = cut.map_or(content.len(), |bytes| (from + bytes).min(content.len()));
            for chunk in content[from..to].chunks(100_000) {
                let data = Bytes::copy_from_slice(chunk);
                let _ = sender.send(Ok(files::GetReply { file: None, data })).await;
            }
            if cut.is_some() {
                let _ = sender.send(Err(Status::unavailable("the node went away"))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn stat(&self, request: Request<files::StatRequest>) -> Result<Response<files::FileInfo>, Status> {
        self.enter("stat", Kind::Read, &request, request.get_ref().route.clone()).await?;
        self.stored(&request.get_ref().name).map(Response::new)
    }

    async fn list(&self, request: Request<files::ListRequest>) -> Result<Response<files::ListReply>, Status> {
        self.enter("list", Kind::Read, &request, request.get_ref().route.clone()).await?;
        let files::ListRequest { prefix, cursor, .. } = request.into_inner();
        let under = |name: &[u8]| {
            prefix.is_empty() || name.strip_prefix(&*prefix).is_some_and(|rest| rest.first() == Some(&b'/'))
        };
        let state = self.state();
        let mut after = state.files.iter().filter(|(name, _)| under(name) && name.as_slice() > &*cursor);
        // Pages of two, so that there are several.
        let page: Vec<_> = after.by_ref().take(2).map(|(name, content)| Self::info(name, content)).collect();
        let cursor = match (after.next(), page.last()) {
            (Some(_), Some(last)) => last.name.clone(),
            _ => Bytes::new(),
        };
        Ok(Response::new(files::ListReply { files: page, cursor }))
    }

    async fn remove(
        &self,
        request: Request<files::RemoveRequest>,
    ) -> Result<Response<files::RemoveReply>, Status> {
        self.enter("remove", Kind::Write, &request, request.get_ref().route.clone()).await?;
        let removed = self.state().files.remove(&request.get_ref().name.to_vec());
        removed.map(|_| Response::new(files::RemoveReply {})).ok_or_else(|| refusal(Reason::NotFound))
    }

    async fn usage(
        &self,
        request: Request<files::UsageRequest>,
    ) -> Result<Response<files::UsageReply>, Status> {
        self.enter("usage", Kind::Read, &request, request.get_ref().route.clone()).await?;
        Ok(Response::new(files::UsageReply { used_bytes: 1, quota_bytes: 2, files: 3 }))
    }
}

#[tonic::async_trait]
impl capabilities_server::Capabilities for Fake {
    async fn get(
        &self,
        request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<GetCapabilitiesReply>, Status> {
        self.enter("capabilities", Kind::Read, &request, request.get_ref().route.clone()).await?;
        Ok(Response::new(self.state().capabilities.clone()))
    }
}
