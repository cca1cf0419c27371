import './index.css';
import { QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { BrowserRouter } from 'react-router';
import { Root } from './root';
import { takeFragmentKey } from './state/fragment_key';
import { createQueryClient } from './state/query_client';

const root = document.getElementById('root');
if (!root) throw new Error('index.html has no #root');
const key = takeFragmentKey(window.location, window.history);

createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={createQueryClient()}>
      <BrowserRouter>
        <Root fragmentKey={key} />
      </BrowserRouter>
    </QueryClientProvider>
  </StrictMode>,
);
