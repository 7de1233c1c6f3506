"""The Flower ClientApp: decodes, calls the session, encodes; nothing else leaves a client."""

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.edge import edge
from client.session import session
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction

app = ClientApp()


@app.query("enrol")
@edge
def enrol(message: Message, context: Context) -> Message:
    """Tell this node's stable name."""
    answer = session(context.run_config).enrol(context.node_config)
    return Message(answer.to_record(), reply_to=message)


@app.query("statistics")
@edge
def statistics(message: Message, context: Context) -> Message:
    """Tell bounded, noised sums of the inputs."""
    return _queried(message, context)


@app.evaluate()
@edge
def evaluate(message: Message, context: Context) -> Message:
    """Tell bounded, noised sums of the model's scores."""
    return _queried(message, context)


@app.train()
@edge
def train(message: Message, context: Context) -> Message:
    """Train for one round and send the protected update."""
    instruction = TrainInstruction.from_record(message.content)
    reply = session(context.run_config).train(context.node_config, instruction, str(context.run_id))
    return Message(reply.to_record(), reply_to=message)


def _queried(message: Message, context: Context) -> Message:
    instruction = QueryInstruction.from_record(message.content)
    reply = session(context.run_config).query(context.node_config, instruction, str(context.run_id))
    return Message(reply.to_record(), reply_to=message)
