"""A peer: pipecat's Twilio path, a pipeline for each call. It parses, decodes and resamples; what arrives is stored."""

import json
import socket
import sys

import numpy as np
import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import Frame, InputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from work import Ring

logger.remove()
logger.add(sys.stderr, level="ERROR")
app = FastAPI()


class Store(FrameProcessor):
    def __init__(self) -> None:
        super().__init__()
        self.ring = Ring()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.ring.store(np.frombuffer(frame.audio, np.int16))
        await self.push_frame(frame, direction)


@app.websocket("/audio-stream/{call_sid}")
async def audio(websocket: WebSocket, call_sid: str) -> None:
    await websocket.accept()
    await websocket.receive_text()
    start = json.loads(await websocket.receive_text())["start"]
    parameters = TwilioFrameSerializer.InputParams(auto_hang_up=False)
    serializer = TwilioFrameSerializer(start["streamSid"], start["callSid"], params=parameters)
    transport = FastAPIWebsocketTransport(
        websocket, FastAPIWebsocketParams(audio_in_enabled=True, add_wav_header=False, serializer=serializer)
    )
    pipeline = Pipeline([transport.input(), Store(), transport.output()])
    task = PipelineTask(pipeline, params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000))

    @transport.event_handler("on_client_disconnected")
    async def gone(*_: object) -> None:
        await task.cancel()

    await PipelineRunner(handle_sigint=False).run(task)


listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(f"ready http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])
