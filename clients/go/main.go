// Command caller asks an assistant of Parley once as a whole and once as a stream, then sends a request that is invalid
// and prints which fields are. It is an example to start from: the stubs under gen/ are made by `buf generate`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	parleyv1 "example.com/caller/gen/go/parley/v1"
)

func main() {
	log.SetFlags(0)
	address := flag.String("address", "127.0.0.1:50051", "where the server listens, by gRPC or by Envoy")
	assistant := flag.String("assistant", "", "id of the assistant that answers")
	flag.Parse()
	key := os.Getenv("PARLEY_KEY")
	if key == "" || *assistant == "" {
		log.Fatal("set PARLEY_KEY to an api key, and -assistant to the id of an assistant")
	}
	if err := run(*address, key, *assistant); err != nil {
		log.Fatal(err)
	}
}

func run(address, key, assistant string) error {
	// Plain text, as Parley listens; with TLS in front of it: credentials.NewTLS(nil).
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	client := parleyv1.NewChatServiceClient(connection)

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)

	first, err := whole(ctx, client, assistant)
	if err != nil {
		return err
	}
	if err := streamed(ctx, client, assistant, first); err != nil {
		return err
	}
	return invalid(ctx, client, assistant)
}

// whole gets an answer as one message, and returns the id of the chat.
func whole(ctx context.Context, client parleyv1.ChatServiceClient, assistant string) (string, error) {
	chat, err := client.CreateChat(ctx, &parleyv1.CreateChatRequest{
		AssistantId: &assistant,
		Input:       structpb.NewStringValue("My name is Ada"),
	})
	if err != nil {
		return "", err
	}
	fmt.Println("whole:", chat.GetOutput()[0].GetContent().GetStringValue())
	return chat.GetId(), nil
}

// streamed continues a chat, and prints each piece of text as it comes.
func streamed(ctx context.Context, client parleyv1.ChatServiceClient, assistant, previous string) error {
	stream, err := client.StreamChat(ctx, &parleyv1.CreateChatRequest{
		AssistantId:    &assistant,
		PreviousChatId: &previous,
		Input:          structpb.NewStringValue("What is my name?"),
	})
	if err != nil {
		return err
	}
	fmt.Print("streamed: ")
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch what := event.GetEvent().(type) {
		case *parleyv1.ChatEvent_Delta:
			fmt.Print(what.Delta.GetText())
		case *parleyv1.ChatEvent_Completed:
			fmt.Printf(" (%s)\n", what.Completed.GetStatus())
		case *parleyv1.ChatEvent_Failed:
			fmt.Println()
			return fmt.Errorf("chat %s failed: %s", event.GetChatId(), what.Failed.GetError().GetMessage())
		}
	}
}

// invalid sends a name that is too long, and prints the fields that the error names.
func invalid(ctx context.Context, client parleyv1.ChatServiceClient, assistant string) error {
	name := strings.Repeat("n", 41)
	_, err := client.CreateChat(ctx, &parleyv1.CreateChatRequest{
		AssistantId: &assistant,
		Name:        &name,
		Input:       structpb.NewStringValue("Hello"),
	})
	refused, isStatus := status.FromError(err)
	if err == nil || !isStatus {
		return fmt.Errorf("expected a gRPC error, got: %v", err)
	}
	fmt.Println("refused:", refused.Code())
	for _, detail := range refused.Details() {
		if request, ok := detail.(*errdetails.BadRequest); ok {
			for _, violation := range request.GetFieldViolations() {
				fmt.Printf("  %s: %s\n", violation.GetField(), violation.GetDescription())
			}
		}
	}
	return nil
}
