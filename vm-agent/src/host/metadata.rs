//! Whether this machine reaches its provider's metadata service. It must not, root included.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ringfence_protocol::state::PostureOutcome;

/// Where most providers' metadata is.
pub const METADATA_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
/// Where AWS's is, over IPv6.
pub const METADATA_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
const HTTP: u16 = 80;
/// An answer comes from beside the machine: within a millisecond, if at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Tries; what came of it, in words.
pub async fn probe(address: IpAddr) -> (PostureOutcome, String) {
    let to = SocketAddr::new(address, HTTP);
    // A datagram that the firewall drops on its way out is refused at once, and our rules do not ask for the protocol.
    if let Some(refused) = send_datagram(to).await {
        return refused;
    }
    match tokio::time::timeout(ANSWER_WITHIN, tokio::net::TcpStream::connect(to)).await {
        Ok(Ok(_)) => (PostureOutcome::Fail, format!("{address} answers")),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            (PostureOutcome::Fail, format!("{address} is reached, though nothing listens there"))
        }
        Ok(Err(error)) => (PostureOutcome::Pass, format!("{address} is not reached: {error}")),
        Err(_) => (PostureOutcome::Fail, format!("packets to {address} leave this machine")),
    }
}

/// What a datagram that did not get out shows; `None` when it did.
async fn send_datagram(to: SocketAddr) -> Option<(PostureOutcome, String)> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let sent = async {
        let socket = tokio::net::UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        socket.send_to(&[0], to).await
    };
    let error = sent.await.err()?;
    let address = to.ip();
    let no_way = [ErrorKind::NetworkUnreachable, ErrorKind::HostUnreachable, ErrorKind::AddrNotAvailable];
    let kind = error.kind();
    Some(if kind == ErrorKind::PermissionDenied {
        (PostureOutcome::Pass, format!("packets to {address} are dropped before they leave"))
    } else if no_way.contains(&kind) || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) {
        (PostureOutcome::Pass, format!("there is no way to {address}"))
    } else {
        (PostureOutcome::Unknown, format!("{address}: {kind}"))
    })
}
