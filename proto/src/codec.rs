//! Messages to and from bytes, as all generated clients and servers do it.
//!
//! What prost makes of them, in a buffer that begins small: tonic's own codec takes 8 KiB for each message of a few hundred bytes, twice a
//! call at either end, which is more than an allocator keeps at hand. Larger messages make it grow.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::BufferSettings;
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Room for most requests and replies, and small enough for an allocator's fastest lists.
const FIRST_BYTES: usize = 960;

/// Messages of a stream are sent together up to here; tonic's own value.
const TOGETHER_BYTES: usize = 32 * 1024;

/// See the module. The types are what is sent and what is received.
#[derive(Debug, Clone, Copy)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(settings())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(settings())
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(FIRST_BYTES, TOGETHER_BYTES)
}
