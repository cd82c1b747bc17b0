package argocd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// newCertificate returns the keys of a TLS Secret for the hub, as cert-manager writes them.
func newCertificate(t testing.TB, hosts ...string) map[string]string {
	t.Helper()
	authority := &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	authorityKey, authorityPEM := signed(t, authority, authority, nil)
	key, certificate := signed(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: hosts[0]}, DNSNames: hosts, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, authority, authorityKey)
	data, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("the key: %v", err)
	}
	return map[string]string{"ca.crt": authorityPEM, "tls.crt": certificate, "tls.key": inPEM("PRIVATE KEY", data)}
}

// signed makes a key for a certificate and signs it, with its own key if there is no other.
func signed(t testing.TB, certificate, by *x509.Certificate, with *ecdsa.PrivateKey) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("a key: %v", err)
	}
	if with == nil {
		with = key
	}
	certificate.SerialNumber = big.NewInt(time.Now().UnixNano())
	certificate.NotBefore, certificate.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	data, err := x509.CreateCertificate(rand.Reader, certificate, by, key.Public(), with)
	if err != nil {
		t.Fatalf("a certificate: %v", err)
	}
	return key, inPEM("CERTIFICATE", data)
}

func inPEM(kind string, data []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
}
