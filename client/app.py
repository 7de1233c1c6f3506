"""The Flower ClientApp: decodes, calls the session, encodes; nothing else leaves a client."""

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.edge import edge
from client.sessions import session
from client.site import Node
from shared.aggregation_messages import UnmaskMessage
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction

app = ClientApp()


@app.query("enrol")
@edge
def enrol(message: Message, context: Context) -> Message:
    """Tell this node's stable name, and its key of the run for secure aggregation."""
    answer = session(context.run_config).enrol(Node.of(context))
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
    reply = session(context.run_config).train(Node.of(context), instruction)
    return Message(reply.to_record(), reply_to=message)


@app.query("unmask")
@edge
def unmask(message: Message, context: Context) -> Message:
    """As a member of a round's committee, tell the shares that undo a sum's masks; once."""
    asked = UnmaskMessage.from_record(message.content)
    told = session(context.run_config).unmask(Node.of(context), asked)
    return Message(told.to_record(), reply_to=message)


def _queried(message: Message, context: Context) -> Message:
    instruction = QueryInstruction.from_record(message.content)
    reply = session(context.run_config).query(Node.of(context), instruction)
    return Message(reply.to_record(), reply_to=message)
