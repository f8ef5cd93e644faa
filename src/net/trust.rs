//! Who is believed to be the host that is asked for: the built-in authorities, those of the system or of
//! `SSL_CERT_FILE` and `SSL_CERT_DIR`, and those of a file of the operator's own.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
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
    /// Files of the system that could not be read, with the reason.
    pub faults: Vec<String>,
    /// Variables that name something without certificates, with what is wrong.
    pub misnamed: Vec<(&'static str, String)>,
}

const FILE: &str = "SSL_CERT_FILE";
const FOLDERS: &str = "SSL_CERT_DIR";

impl Found {
    /// Those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, or else those of the system.
    pub fn on_this_machine() -> Self {
        let (file, folders) = (env::var_os(FILE), env::var_os(FOLDERS));
        if file.is_none() && folders.is_none() {
            let found = rustls_native_certs::load_native_certs();
            let faults = found.errors.iter().map(ToString::to_string).collect();
            return Self { certificates: found.certs, faults, ..Self::default() };
        }
        Self::named(file.as_deref().map(Path::new), folders.as_deref())
    }

    /// Those of a file and of folders, with a colon between them.
    fn named(file: Option<&Path>, folders: Option<&OsStr>) -> Self {
        let mut found = Self::default();
        if let Some(file) = file {
            found.variables.push(FILE);
            // Whoever opens a pipe waits for its writer.
            if file.exists() && !file.is_file() {
                found.misnamed.push((FILE, format!("{} is not a file", file.display())));
            } else {
                found.add(FILE, file, (Some(file), None));
            }
        }
        if let Some(folders) = folders {
            found.variables.push(FOLDERS);
            let folders: Vec<PathBuf> =
                env::split_paths(folders).filter(|folder| !folder.as_os_str().is_empty()).collect();
            for folder in &folders {
                found.add(FOLDERS, folder, (None, Some(folder)));
            }
            if folders.is_empty() {
                found.misnamed.push((FOLDERS, "names no folder".to_owned()));
            }
        }
        // A folder often has what the file has too.
        found.certificates.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        found.certificates.dedup();
        found
    }

    fn add(&mut self, variable: &'static str, path: &Path, place: (Option<&Path>, Option<&Path>)) {
        let found = rustls_native_certs::load_certs_from_paths(place.0, place.1);
        let is_empty = found.certs.is_empty() && found.errors.is_empty();
        let errors = found.errors.iter().map(ToString::to_string);
        let faults = errors.chain(is_empty.then(|| format!("no certificate is in {}", path.display())));
        self.misnamed.extend(faults.map(|fault| (variable, fault)));
        self.certificates.extend(found.certs);
    }
}

/// The certificates in a PEM text, one at least.
pub fn read(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| format!("cannot be read as PEM ({error})"))?;
    if certificates.is_empty() { Err("has no certificate in it".to_owned()) } else { Ok(certificates) }
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
    fn a_text_may_hold_several_certificates_and_must_hold_one() {
        assert_eq!(read((0..3).map(pem).collect::<String>().as_bytes()).unwrap().len(), 3);
        assert_eq!(read(b"no certificate"), Err("has no certificate in it".to_owned()));
        assert!(read(b"-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n").is_err());
    }

    fn pem(_: usize) -> String {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[rstest]
    #[case::a_file(Some("ca.pem"), None, 2, None)]
    #[case::a_folder(None, Some("certs"), 1, None)]
    #[case::both(Some("ca.pem"), Some("certs"), 3, None)]
    #[case::folders(None, Some("certs:empty"), 1, Some((FOLDERS, "no certificate is in ")))]
    #[case::no_certificate(Some("notes.txt"), None, 0, Some((FILE, "no certificate is in ")))]
    #[case::an_empty_folder(None, Some("empty"), 0, Some((FOLDERS, "no certificate is in ")))]
    #[case::missing(Some("missing.pem"), None, 0, Some((FILE, "failed to read PEM")))]
    #[case::a_missing_folder(None, Some("missing"), 0, Some((FOLDERS, "opening directory")))]
    #[case::a_folder_for_a_file(Some("certs"), None, 0, Some((FILE, "/")))]
    #[case::endless(Some("/dev/zero"), None, 0, Some((FILE, "/dev/zero is not a file")))]
    #[case::no_folder(None, Some(":"), 0, Some((FOLDERS, "names no folder")))]
    fn what_variables_name_and_has_no_certificates_is_told(
        #[case] file: Option<&str>,
        #[case] folders: Option<&str>,
        #[case] certificates: usize,
        #[case] fault: Option<(&str, &str)>,
    ) {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["certs", "empty"] {
            std::fs::create_dir(at(folder)).unwrap();
        }
        std::fs::write(at("ca.pem"), (0..2).map(pem).collect::<String>()).unwrap();
        std::fs::write(at("certs/one.pem"), pem(0)).unwrap();
        std::fs::write(at("notes.txt"), "no certificate").unwrap();
        let folders = folders.map(|it| {
            env::join_paths(it.split(':').map(|it| if it.is_empty() { it.into() } else { at(it) })).unwrap()
        });
        let found = Found::named(file.map(at).as_deref(), folders.as_deref());
        assert_eq!(found.certificates.len(), certificates);
        let misnamed: Vec<_> = found.misnamed.iter().map(|(name, text)| (*name, text.as_str())).collect();
        match (fault, &misnamed[..]) {
            (None, []) => {}
            (Some((name, text)), [(found, told)]) => assert!(name == *found && told.contains(text), "{told}"),
            (expected, found) => panic!("{found:?} is not {expected:?}"),
        }
    }
}
