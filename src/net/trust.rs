//! Who is believed to be the host that is asked for: the built-in authorities, those of the system or of
//! `SSL_CERT_FILE` and `SSL_CERT_DIR`, and those of a file of the operator's own.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::clock::Clock;

/// Authorities of the machine.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub certificates: Vec<CertificateDer<'static>>,
    /// The variables that name them; none: they are the system's.
    pub variables: Vec<&'static str>,
    /// Files that could not be read, with the reason.
    pub faults: Vec<String>,
}

impl Found {
    /// Those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, or else those of the system.
    pub fn on_this_machine() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let variables = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter();
        Self {
            certificates: found.certs,
            variables: variables.filter(|name| std::env::var_os(name).is_some()).collect(),
            faults: found.errors.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The certificates in a PEM file, one at least.
pub fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("no certificate is in it".to_owned()) } else { Ok(certificates) }
}

/// Trust in the built-in authorities and in `extra` certificates: authorities, or exactly these servers. Verification
/// is never off.
pub fn config(extra: Vec<CertificateDer<'static>>) -> ClientConfig {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // A certificate that cannot be an authority adds no trust; connecting will say so.
    roots.add_parsable_certificates(extra.iter().cloned());
    let builder = ClientConfig::builder();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(builder.crypto_provider()));
    let mut config = match verifier.build() {
        Ok(authorities) => {
            let verifier = Verifier { authorities, exact: extra };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
        // Only a revocation list that cannot be read fails here, and there is none.
        Err(_) => builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
    };
    config.time_provider = Arc::new(Clock);
    // WebSockets over HTTP/2 are not used.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// The usual verification, and one thing more: a server whose own certificate is trusted may be that server although
/// its certificate calls itself an authority, as `openssl req -x509` makes them. Its name and its dates are verified.
#[derive(Debug)]
struct Verifier {
    authorities: Arc<WebPkiServerVerifier>,
    exact: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // Dates are verified before this is found.
            Err(error) if is_authority(&error) && self.exact.iter().any(|exact| exact == end_entity) => {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// The certificate of the server calls itself an authority.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair, date_time_ymd};
    use rstest::rstest;

    use super::*;

    /// A certificate of its own issue for `localhost`, from 2020 to this year.
    fn self_signed(is_ca: IsCa, until: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    const CA: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);

    /// Whether a server with this certificate is believed in the year 2025.
    fn is_trusted(extra: Vec<CertificateDer<'static>>, server: &CertificateDer<'static>, name: &str) -> bool {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(extra.iter().cloned());
        if roots.is_empty() {
            return false;
        }
        let authorities = WebPkiServerVerifier::builder(Arc::new(roots)).build().unwrap();
        let verifier = Verifier { authorities, exact: extra };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_750_000_000));
        verifier.verify_server_cert(server, &[], &name, &[], now).is_ok()
    }

    #[rstest]
    #[case::as_openssl_makes_it(CA, 2040, "localhost", true)]
    #[case::not_an_authority(IsCa::ExplicitNoCa, 2040, "localhost", true)]
    #[case::without_constraints(IsCa::NoCa, 2040, "localhost", true)]
    #[case::of_another_name(CA, 2040, "example.com", false)]
    #[case::expired(CA, 2024, "localhost", false)]
    #[case::expired_and_no_authority(IsCa::NoCa, 2024, "localhost", false)]
    fn a_self_signed_certificate_is_trusted_for_itself(
        #[case] is_ca: IsCa,
        #[case] until: i32,
        #[case] name: &str,
        #[case] expected: bool,
    ) {
        let certificate = self_signed(is_ca, until);
        assert_eq!(is_trusted(vec![certificate.clone()], &certificate, name), expected);
    }

    #[test]
    fn another_self_signed_certificate_is_not_trusted() {
        let (trusted, other) = (self_signed(CA, 2040), self_signed(CA, 2040));
        assert!(!is_trusted(vec![trusted], &other, "localhost"));
    }

    #[test]
    fn an_authority_among_several_is_trusted_for_what_it_signed() {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = CA;
        params.not_before = date_time_ymd(2020, 1, 1);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issuer: &Issuer<'_, KeyPair> = &authority;
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        leaf.not_before = date_time_ymd(2020, 1, 1);
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap();
        let extra = vec![self_signed(CA, 2040), authority.der().clone()];
        assert!(is_trusted(extra, leaf.der(), "localhost"));
        assert!(!is_trusted(vec![self_signed(CA, 2040)], leaf.der(), "localhost"));
    }

    #[test]
    fn a_file_may_hold_several_certificates_and_must_hold_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let pem = |_| {
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
        };
        std::fs::write(&path, (0..3).map(pem).collect::<String>()).unwrap();
        assert_eq!(read(&path).unwrap().len(), 3);
        std::fs::write(&path, "no certificate").unwrap();
        assert!(read(&path).is_err());
        assert!(read(&folder.path().join("missing.pem")).is_err());
    }
}
