package main

import (
	"sync"
	"time"
)

const (
	lostAfter    = 5 // missing heartbeats
	ticks        = 2 // of a heartbeat's interval, so that two messages are never further apart than the interval
	largeBytes   = 1 << 20
	slowestBytes = 256 << 10 // in a second
	mostSilence  = time.Minute
)

// pulse knows whether both ends of a stream are alive. It counts ticks instead of looking at the clock: after a pause of
// this whole process, the hub's heartbeats have arrived but are not read yet, and one late tick is one tick.
type pulse struct {
	mu               sync.Mutex
	ticker           *time.Ticker
	done             chan struct{}
	tick             time.Duration
	left             int
	isHeard, isWrote bool
	isLost           bool
}

// start begins, unless the hub wants no heartbeats: beat is called when nothing was written for a while, and lose when
// nothing was heard for too long.
func (p *pulse) start(every time.Duration, beat func(time.Duration), lose func()) {
	if every <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tick = every / ticks
	p.left = lostAfter * ticks
	p.ticker = time.NewTicker(p.tick)
	p.done = make(chan struct{})
	go p.run(p.ticker.C, p.done, beat, lose)
}

func (p *pulse) run(ticked <-chan time.Time, done <-chan struct{}, beat func(time.Duration), lose func()) {
	for {
		select {
		case <-done:
			return
		case <-ticked:
		}
		due, lost := p.next()
		if lost {
			lose()
			return
		}
		if due {
			// Not here: a stream that takes nothing must not keep the silence from being noticed.
			go beat(0)
		}
	}
}

// next says whether a heartbeat is due, and whether the hub is lost.
func (p *pulse) next() (due, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isHeard {
		p.isHeard = false
		p.left = lostAfter * ticks
	}
	p.left--
	p.isLost = p.left < 0
	due, p.isWrote = !p.isWrote, false
	return due, p.isLost
}

func (p *pulse) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ticker != nil {
		p.ticker.Stop()
		close(p.done)
	}
}

func (p *pulse) started() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ticker != nil
}

func (p *pulse) lost() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isLost
}

func (p *pulse) heard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isHeard = true
}

func (p *pulse) wrote() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isWrote = true
}

// excuse lets the hub be silent for this long: it said that it will be.
func (p *pulse) excuse(silent time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ticker == nil {
		return
	}
	p.isHeard = false
	p.left = lostAfter*ticks + int(min(silent, mostSilence)/p.tick)
}

// silence is how long a message may be on its way, if that is worth saying before it is sent; else 0.
func silence(bytes int) time.Duration {
	if bytes < largeBytes {
		return 0
	}
	return min(time.Duration(bytes/slowestBytes)*time.Second, mostSilence)
}
