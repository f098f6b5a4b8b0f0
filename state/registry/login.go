package registry

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

// Login is how an etcd lets us in: by a password, a certificate, or both.
type Login struct {
	User, Password string
	// CA proves the etcd, Cert and Key prove us; PEM.
	CA, Cert, Key string
}

// errNotLetIn: an etcd asks who we are, and there is no answer that it takes.
var errNotLetIn = errors.New("it asks for a user and a password")

// identity logs in to an etcd that asks who we are, and to no other: one that lets everybody
// in is never told anything. What it answers to the password goes with every request from
// then on, of watches too, until it is not taken any more.
type identity struct {
	login func(context.Context) (Login, error)
	token atomic.Pointer[string]
}

// GetRequestMetadata implements [google.golang.org/grpc/credentials.PerRPCCredentials].
func (i *identity) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if token := i.token.Load(); token != nil {
		return map[string]string{rpctypes.TokenFieldNameGRPC: *token}, nil
	}
	return nil, nil
}

// RequireTransportSecurity implements the same: etcd is reached within the cluster's network.
func (i *identity) RequireTransportSecurity() bool { return false }

// intercept makes a request again, once, after it has logged in.
//
//nolint:revive // the signature is gRPC's
func (i *identity) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	if method == pb.Auth_Authenticate_FullMethodName || !asksWhoWeAre(err) {
		return err
	}
	if refused := i.logIn(ctx, cc); refused != nil {
		return fmt.Errorf("%w: %w", errNotLetIn, refused)
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}

func (i *identity) logIn(ctx context.Context, cc *grpc.ClientConn) error {
	i.token.Store(nil)
	l, err := i.login(ctx)
	if err == nil && l.User == "" {
		err = ErrNoLogin
	}
	if err != nil {
		return err
	}
	answer, err := pb.NewAuthClient(cc).Authenticate(ctx, &pb.AuthenticateRequest{Name: l.User, Password: l.Password})
	if err != nil {
		return rpctypes.Error(err)
	}
	i.token.Store(&answer.Token)
	return nil
}

func asksWhoWeAre(err error) bool {
	if err == nil {
		return false
	}
	err = rpctypes.Error(err)
	return errors.Is(err, rpctypes.ErrUserEmpty) || errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision)
}
