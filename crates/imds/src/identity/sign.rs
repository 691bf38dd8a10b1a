//! The three signatures over a document, the same every time for the same key, document and signing time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cms::cert::IssuerAndSerialNumber;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos};
use jiff::Timestamp;
use rsa::pkcs1v15::SigningKey;
use rsa::signature::{SignatureEncoding, Signer as _};
use sha2::{Digest, Sha256};
use x509_cert::attr::{Attribute, Attributes};
use x509_cert::der::asn1::{GeneralizedTime, ObjectIdentifier, OctetString, SetOfVec, UtcTime};
use x509_cert::der::oid::db::rfc5911::{
    ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME,
};
use x509_cert::der::oid::db::rfc5912::{ID_SHA_256, RSA_ENCRYPTION};
use x509_cert::der::{self, Any, DateTime, Encode, Tagged};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use super::{IdentityError, Signatures, Signer};

/// Where EC2 wraps base64.
const COLUMNS: usize = 76;

impl Signer {
    /// Signs a document as if at `signing_time`. Takes a few milliseconds.
    pub fn sign(&self, document: Bytes, signing_time: Timestamp) -> Result<Signatures, IdentityError> {
        let key = SigningKey::<Sha256>::new(self.key.clone());
        let signature = wrapped(&key.try_sign(&document)?.to_bytes());
        let pkcs7 = wrapped(&self.signed_data(&key, &document, signing_time)?);
        Ok(Signatures { document, signature, rsa2048: pkcs7.clone(), pkcs7 })
    }

    /// PKCS#7 SignedData (version 1, so that PKCS#7 and CMS readers take it): the document inside, no
    /// certificates.
    fn signed_data(
        &self,
        key: &SigningKey<Sha256>,
        document: &[u8],
        signing_time: Timestamp,
    ) -> Result<Vec<u8>, IdentityError> {
        let sha256 = AlgorithmIdentifierOwned { oid: ID_SHA_256, parameters: Some(Any::null()) };
        let rsa = AlgorithmIdentifierOwned { oid: RSA_ENCRYPTION, parameters: Some(Any::null()) };
        let attributes = attributes(document, signing_time)?;
        let signature = key.try_sign(&attributes.to_der()?)?;
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: self.certificate.tbs_certificate.issuer.clone(),
                serial_number: self.certificate.tbs_certificate.serial_number.clone(),
            }),
            digest_alg: sha256.clone(),
            signed_attrs: Some(attributes),
            signature_algorithm: rsa,
            signature: OctetString::new(signature.to_vec())?,
            unsigned_attrs: None,
        };
        let signed = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![sha256])?,
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: ID_DATA,
                econtent: Some(Any::encode_from(&OctetString::new(document)?)?),
            },
            certificates: None,
            crls: None,
            signer_infos: SignerInfos(SetOfVec::try_from(vec![signer])?),
        };
        let content = ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&signed)? };
        Ok(content.to_der()?)
    }
}

/// contentType, signingTime, messageDigest.
fn attributes(document: &[u8], signing_time: Timestamp) -> Result<Attributes, der::Error> {
    let digest = OctetString::new(Sha256::digest(document).as_slice())?;
    SetOfVec::try_from(vec![
        attribute(ID_CONTENT_TYPE, &ID_DATA)?,
        attribute(ID_SIGNING_TIME, &time(signing_time)?)?,
        attribute(ID_MESSAGE_DIGEST, &digest)?,
    ])
}

fn attribute(
    oid: ObjectIdentifier,
    value: &(impl Tagged + der::EncodeValue),
) -> Result<Attribute, der::Error> {
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![Any::encode_from(value)?])? })
}

/// UTCTime through 2049 and GeneralizedTime afterwards (RFC 5652, 11.3).
fn time(at: Timestamp) -> Result<Time, der::Error> {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    let date = DateTime::from_unix_duration(std::time::Duration::from_secs(seconds))?;
    Ok(match UtcTime::from_date_time(date) {
        Ok(time) => Time::UtcTime(time),
        Err(_) => Time::GeneralTime(GeneralizedTime::from_date_time(date)),
    })
}

fn wrapped(bytes: &[u8]) -> Bytes {
    let text = STANDARD.encode(bytes);
    let lines: Vec<&[u8]> = text.as_bytes().chunks(COLUMNS).collect();
    Bytes::from(lines.join(&b'\n'))
}
