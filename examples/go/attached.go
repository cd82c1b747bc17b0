package main

import (
	"context"
	"errors"
	"io"
	"log"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"example/backend/stubs"
)

// attachForEver stays attached to the hub until ctx is done, and comes back whenever the stream ends.
func attachForEver(ctx context.Context, o options) error {
	connection, err := openHub(o)
	if err != nil {
		return err
	}
	defer connection.Close()
	backend, err := self(o.name)
	if err != nil {
		return err
	}
	hello := &stubs.Hello{Backend: backend, Heartbeats: true, MaxInputBytes: largestInputBytes}
	for {
		err := attach(ctx, connection, hello, o.tokenFile)
		if ctx.Err() != nil {
			return nil
		}
		log.Printf("not attached: %v", err)
		// A hub that was away is tried again soon.
		connection.ResetConnectBackoff()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryAfter):
		}
	}
}

// attach serves one stream. When leaving is done it asks for no more questions and answers those that it has.
func attach(leaving context.Context, connection *grpc.ClientConn, hello *stubs.Hello, tokenFile string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ctx, err := withToken(ctx, tokenFile)
	if err != nil {
		return err
	}
	stream, err := stubs.NewRegistryServiceClient(connection).Attach(ctx)
	if err != nil {
		return err
	}
	s := &session{stream: stream, lose: cancel}
	defer s.pulse.stop()
	s.send(&stubs.AttachRequest{Kind: &stubs.AttachRequest_Hello{Hello: hello}})
	stop := context.AfterFunc(leaving, func() {
		s.send(&stubs.AttachRequest{Kind: &stubs.AttachRequest_Leaving{Leaving: &stubs.Leaving{}}})
		s.finish()
	})
	defer stop()
	return s.read()
}

// session is one stream. Questions are answered side by side; sending is one at a time.
type session struct {
	stream    grpc.BidiStreamingClient[stubs.AttachRequest, stubs.AttachResponse]
	lose      context.CancelFunc
	pulse     pulse
	limit     uint64
	mu        sync.Mutex
	inFlight  int
	finishing bool
	closed    bool
}

func (s *session) read() error {
	for {
		message, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New("the hub ended the stream")
		}
		if err != nil && s.pulse.lost() {
			return errors.New("nothing was heard from the hub for too long, not even a heartbeat")
		}
		if err != nil {
			return err
		}
		s.pulse.heard()
		switch kind := message.GetKind().(type) {
		case *stubs.AttachResponse_Welcome:
			log.Printf("attached to hub %s", kind.Welcome.GetHubInstance())
			s.limit = kind.Welcome.GetMaxAnswerBytes()
			s.pulse.start(kind.Welcome.GetHeartbeat().AsDuration(), s.beat, s.lose)
			warnOfIgnored(kind.Welcome.GetIgnoredApplicationSets())
		case *stubs.AttachResponse_Questions:
			for _, question := range kind.Questions.GetQuestions() {
				s.count(1)
				go s.reply(question)
			}
		case *stubs.AttachResponse_Heartbeat:
			s.pulse.excuse(kind.Heartbeat.GetSilentFor().AsDuration())
		case *stubs.AttachResponse_Drain:
			s.finish()
		}
		// Cancels: these answers take no time, so there is nothing to stop. Kinds that are not known are ignored.
	}
}

// reply answers exactly once, whatever happens.
func (s *session) reply(question *stubs.Question) {
	defer s.count(-1)
	reply := &stubs.Answer{QuestionId: question.GetId()}
	response, err := answer(question.GetRequest())
	if size := uint64(len(response.GetParametersJson())); err == nil && s.limit > 0 && size > s.limit {
		err = status.Errorf(codes.ResourceExhausted,
			"the answer has %d bytes of JSON, and the hub accepts %d (limits.max_answer_bytes)", size, s.limit)
	}
	if err == nil {
		reply.Outcome = &stubs.Answer_Response{Response: response}
	} else {
		failure := &stubs.Failure{Code: int32(status.Code(err)), Message: status.Convert(err).Message()}
		reply.Outcome = &stubs.Answer_Failure{Failure: failure}
	}
	answers := &stubs.Answers{Answers: []*stubs.Answer{reply}}
	if silent := silence(len(response.GetParametersJson())); silent > 0 && err == nil {
		s.beat(silent)
	}
	s.send(&stubs.AttachRequest{Kind: &stubs.AttachRequest_Answers{Answers: answers}})
}

// send passes over errors: reading from the stream tells them, too.
func (s *session) send(message *stubs.AttachRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.pulse.wrote()
	_ = s.stream.Send(message)
}

// beat says that this backend is alive, and for how long nothing may follow. A hub without heartbeats hears none.
func (s *session) beat(silent time.Duration) {
	if !s.pulse.started() {
		return
	}
	heartbeat := &stubs.Heartbeat{SilentFor: durationpb.New(silent)}
	s.send(&stubs.AttachRequest{Kind: &stubs.AttachRequest_Heartbeat{Heartbeat: heartbeat}})
}

// finish ends this side of the stream once what is in flight is answered.
func (s *session) finish() {
	s.mu.Lock()
	s.finishing = true
	s.mu.Unlock()
	s.count(0)
}

// count notes questions that came or were answered.
func (s *session) count(change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight += change
	if s.finishing && s.inFlight == 0 {
		s.closed = true
		_ = s.stream.CloseSend()
	}
}
