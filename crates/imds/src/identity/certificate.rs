//! The certificate of the identity key: self-signed, plainly not Amazon's, and valid at every date an instance
//! can have been launched (Vault wants the signing time inside the validity).

use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::EncodePublicKey;
use rsa::rand_core::CryptoRngCore;
use rsa::signature::{SignatureEncoding, Signer as _};
use rsa::{RsaPrivateKey, RsaPublicKey};
use sha2::{Digest, Sha256};
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::der::asn1::{BitString, GeneralizedTime, OctetString, UtcTime};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::oid::db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION;
use x509_cert::der::{self, Any, DateTime, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, SubjectKeyIdentifier};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

use super::IdentityError;

/// In RFC 4514 order, so the certificate reads C, ST, L, O as Amazon's do.
const SUBJECT: &str = "O=fake-metadata,L=Seattle,ST=Washington State,C=US";

/// A certificate for the key, signed by it. `rng` gives the serial number.
pub(super) fn self_signed(
    key: &RsaPrivateKey,
    rng: &mut impl CryptoRngCore,
) -> Result<Certificate, IdentityError> {
    let subject: Name = SUBJECT.parse()?;
    let algorithm =
        AlgorithmIdentifierOwned { oid: SHA_256_WITH_RSA_ENCRYPTION, parameters: Some(Any::null()) };
    let subject_public_key_info = public_key_info(key)?;
    let key_id = Sha256::digest(subject_public_key_info.subject_public_key.raw_bytes());
    let key_id = SubjectKeyIdentifier(OctetString::new(&key_id[..20])?);
    let authority = BasicConstraints { ca: true, path_len_constraint: None };
    let tbs_certificate = TbsCertificate {
        version: Version::V3,
        serial_number: serial_number(rng)?,
        signature: algorithm.clone(),
        issuer: subject.clone(),
        validity: Validity {
            not_before: Time::UtcTime(UtcTime::from_date_time(DateTime::new(1970, 1, 1, 0, 0, 0)?)?),
            // RFC 5280, 4.1.2.5: the date that means "no end".
            not_after: Time::GeneralTime(GeneralizedTime::from_date_time(DateTime::new(
                9999, 12, 31, 23, 59, 59,
            )?)),
        },
        subject,
        subject_public_key_info,
        issuer_unique_id: None,
        subject_unique_id: None,
        // No key usage: it signs itself, and documents.
        extensions: Some(vec![extension(&key_id, false)?, extension(&authority, true)?]),
    };
    let signature = SigningKey::<Sha256>::new(key.clone()).try_sign(&tbs_certificate.to_der()?)?;
    let signature = BitString::from_bytes(&signature.to_bytes())?;
    Ok(Certificate { tbs_certificate, signature_algorithm: algorithm, signature })
}

/// Whether the certificate names this key.
pub(super) fn is_of_key(certificate: &Certificate, key: &RsaPrivateKey) -> Result<bool, IdentityError> {
    Ok(certificate.tbs_certificate.subject_public_key_info == public_key_info(key)?)
}

fn public_key_info(key: &RsaPrivateKey) -> Result<SubjectPublicKeyInfoOwned, IdentityError> {
    let document = RsaPublicKey::from(key).to_public_key_der().map_err(rsa::pkcs8::Error::from)?;
    Ok(document.decode_msg()?)
}

/// Sixteen random bytes, made a positive number.
fn serial_number(rng: &mut impl CryptoRngCore) -> Result<SerialNumber, der::Error> {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::new(&bytes)
}

fn extension<E: AssociatedOid + Encode>(value: &E, critical: bool) -> Result<Extension, der::Error> {
    let extn_value = OctetString::new(value.to_der()?)?;
    Ok(Extension { extn_id: E::OID, critical, extn_value })
}
