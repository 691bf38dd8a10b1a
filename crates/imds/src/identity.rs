//! The signatures beside the instance identity document: an RSA key and certificate of our own.
//!
//! EC2 signs with three keys: RSA-1024 (`signature`), DSA with SHA-1 (`pkcs7`), RSA-2048 (`rsa2048`). Here one
//! RSA-2048 key with SHA-256 makes all three: no verifier depends on DSA, and both PKCS#7 forms are checked
//! the same way. The output has EC2's shape: base64 wrapped at 76 characters, no PEM lines, no certificate
//! inside, no line end at the end.

mod certificate;
mod sign;

use bytes::Bytes;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rsa::rand_core::CryptoRngCore;
use x509_cert::Certificate;
use x509_cert::der::{DecodePem, EncodePem};

/// The bits of the key.
const KEY_BITS: usize = 2048;

/// A key or certificate that cannot be used, or a signature that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The key cannot be made, read or written.
    #[error("read the identity key: {0}")]
    Key(#[from] rsa::pkcs8::Error),
    /// A key cannot be made.
    #[error("use the identity key: {0}")]
    Rsa(#[from] rsa::Error),
    /// The certificate cannot be read or written.
    #[error("read the identity certificate: {0}")]
    Certificate(#[from] x509_cert::der::Error),
    /// The certificate cannot be made.
    #[error("make the identity certificate: {0}")]
    Builder(String),
    /// Key and certificate are no pair.
    #[error("the identity certificate is not of the identity key; remove both files to have new ones made")]
    Mismatch,
    /// The signature cannot be made.
    #[error("sign the identity document: {0}")]
    Signature(#[from] rsa::signature::Error),
}

/// The three leaves beside the document, as they are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatures {
    /// The document they are over.
    pub document: Bytes,
    /// RSA, PKCS#1 v1.5, SHA-256.
    pub signature: Bytes,
    /// PKCS#7 SignedData with the document inside.
    pub pkcs7: Bytes,
    /// The same again, where EC2 has its RSA-2048 key.
    pub rsa2048: Bytes,
}

/// A key and its certificate.
pub struct Signer {
    key: RsaPrivateKey,
    certificate: Certificate,
}

impl Signer {
    /// Makes a new key and a certificate for it. Takes 50 to 250 ms.
    pub fn generate(rng: &mut impl CryptoRngCore) -> Result<Signer, IdentityError> {
        let key = RsaPrivateKey::new(rng, KEY_BITS)?;
        let certificate = certificate::self_signed(&key, rng)?;
        Ok(Signer { key, certificate })
    }

    /// The signer of a PKCS#8 key and its certificate, both PEM, as written by [`Signer::key_pem`] and
    /// [`Signer::certificate_pem`].
    pub fn from_pem(key: &str, certificate: &str) -> Result<Signer, IdentityError> {
        let key = RsaPrivateKey::from_pkcs8_pem(key)?;
        let certificate = Certificate::from_pem(certificate)?;
        if !certificate::is_of_key(&certificate, &key)? {
            return Err(IdentityError::Mismatch);
        }
        Ok(Signer { key, certificate })
    }

    /// The key as PKCS#8 PEM; wiped from memory when dropped.
    pub fn key_pem(&self) -> Result<impl std::ops::Deref<Target = String> + use<>, IdentityError> {
        Ok(self.key.to_pkcs8_pem(LineEnding::LF)?)
    }

    /// The certificate as PEM.
    pub fn certificate_pem(&self) -> Result<String, IdentityError> {
        Ok(self.certificate.to_pem(LineEnding::LF)?)
    }
}

impl std::fmt::Debug for Signer {
    /// Never prints the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}
